"""Who works when: players of a group take turns in rounds, and are started anew in generations.

What compares cases or sides enters here. The room starts children and commands them, and knows
neither torch nor how a step is measured.
"""
