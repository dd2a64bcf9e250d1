"""A recurrent language model: an LSTM that reads one token after the other.

The model predicts the next token on the same data as `gpt`. Each step of the recurrence waits for
the previous one, so the time grows with the length of a window, however parallel the machine is.
Look at how far below the roofline the model stays, and at how little a larger batch costs.
"""

from torch import Tensor, nn
from torch.optim import AdamW

from stepbench import DataChoice, Workload, right_answers

LENGTH = 64


class Recurrent(nn.Module):
    """Tokens (N, T) to the scores of each next token, (N, vocabulary, T).

    Args:
        vocabulary: The number of distinct tokens.
        width: The size of a token's vector and of the hidden state.
        depth: The number of recurrent layers.
    """

    def __init__(self, vocabulary: int, width: int = 128, depth: int = 2) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, depth, batch_first=True)
        self.scores = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """Computes the scores, with the classes in dimension 1 as `CrossEntropyLoss` expects."""
        hidden, _ = self.lstm(self.tokens(tokens))
        scores: Tensor = self.scores(hidden).transpose(1, 2)
        return scores


def make(choice: DataChoice) -> Workload:
    """Makes the workload from synthetic tokens, or from the user's tokens."""
    data = choice.tokens(LENGTH)
    return Workload(
        model=lambda: Recurrent(data.vocabulary),
        dataset=data.train,
        test_dataset=data.test,
        loss=nn.CrossEntropyLoss(),
        metric=right_answers,
        optimizer=lambda parameters: AdamW(parameters, lr=1e-3),
        data=data,
    )
