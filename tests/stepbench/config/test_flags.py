import argparse

from stepbench.config.flags import FLAGS, Flag, OptionSection, add_flags, words_of


def test_every_flag_has_help_and_a_destination_of_its_own() -> None:
    assert all(flag.help for flag in FLAGS)
    assert len({flag.destination for flag in FLAGS}) == len(FLAGS)


def test_options_stand_under_the_headings_of_their_sections() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, FLAGS)
    shown = parser.format_help().partition("options:")[2]
    places = [shown.index(f"{section}:") for section in OptionSection]
    assert places == sorted(places)
    assert places[0] < shown.index("--batch-size") < places[1] < shown.index("--max-time")


def test_parsed_values_have_the_flag_s_destination() -> None:
    flag = Flag("--batch-size", "samples in a batch", "a section", {"nargs": "+"})
    parser = argparse.ArgumentParser()
    add_flags(parser, [flag])
    parsed = parser.parse_args(["--batch-size", "4", "8"])
    assert vars(parsed) == {flag.destination: ["4", "8"]}


def test_the_options_of_a_section_are_listed() -> None:
    assert {"train_parity", "no_parity"} <= words_of(OptionSection.PARITY)
    assert "batch_size" in words_of(OptionSection.CASES)
