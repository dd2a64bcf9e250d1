import argparse

from stepbench.config.option_definitions import FLAGS, Flag, OptionSection, add_flags, options_in


def test_every_flag_has_help_and_a_unique_destination() -> None:
    assert all(flag.help for flag in FLAGS)
    assert len({flag.destination for flag in FLAGS}) == len(FLAGS)


def test_help_lists_options_under_the_headings_of_their_sections() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, FLAGS)
    help_text = parser.format_help().partition("options:")[2]
    positions = [help_text.index(f"{section}:") for section in OptionSection]
    assert positions == sorted(positions)
    assert positions[0] < help_text.index("--batch-size") < positions[1]
    assert positions[1] < help_text.index("--max-time")


def test_parsed_values_have_the_flag_s_destination() -> None:
    flag = Flag("--batch-size", "samples in a batch", "a section", {"nargs": "+"})
    parser = argparse.ArgumentParser()
    add_flags(parser, [flag])
    parsed = parser.parse_args(["--batch-size", "4", "8"])
    assert vars(parsed) == {flag.destination: ["4", "8"]}


def test_the_options_of_a_section_are_listed() -> None:
    assert {"train_parity", "no_parity"} <= options_in(OptionSection.PARITY)
    assert "batch_size" in options_in(OptionSection.CASES)
