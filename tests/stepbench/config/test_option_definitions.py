import argparse

from stepbench.config.option_definitions import (
    FLAGS,
    MOST_USED,
    Flag,
    OptionSection,
    add_flags,
    by_heading,
    options_in,
)


def test_every_flag_has_help_and_a_unique_destination() -> None:
    assert all(flag.help for flag in FLAGS)
    assert len({flag.destination for flag in FLAGS}) == len(FLAGS)


def test_help_lists_the_ten_most_used_options_first_and_the_others_by_purpose() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, FLAGS)
    help_text = parser.format_help().partition("options:")[2]
    headings = [MOST_USED, *OptionSection]
    positions = [help_text.index(f"\n{heading}:\n") for heading in headings]
    assert positions == sorted(positions)
    assert help_text[: positions[1]].count("\n  --") == 10
    assert positions[0] < help_text.index("  --batch-size") < positions[1]
    assert positions[2] < help_text.index("  --generations") < positions[3]


def test_every_option_has_one_heading() -> None:
    listed = [flag for flags in by_heading(FLAGS).values() for flag in flags]
    assert sorted(flag.name for flag in listed) == sorted(flag.name for flag in FLAGS)


def test_parsed_values_have_the_flag_s_destination() -> None:
    flag = Flag("--batch-size", "samples in a batch", "a section", {"nargs": "+"})
    parser = argparse.ArgumentParser()
    add_flags(parser, [flag])
    parsed = parser.parse_args(["--batch-size", "4", "8"])
    assert vars(parsed) == {flag.destination: ["4", "8"]}


def test_the_options_of_a_section_are_listed() -> None:
    assert {"train_parity", "no_parity"} <= options_in(OptionSection.PARITY)
    assert "batch_size" in options_in(OptionSection.CASES)
