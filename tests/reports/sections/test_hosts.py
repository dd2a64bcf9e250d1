from pathlib import Path

from stepbench_reports.read.run_directory import load
from stepbench_reports.render import markdown
from stepbench_reports.wording import caveats, summary
from stepbench_reports.wording import hosts as words
from stepbench_reports.wording.headline import headline
from support import hosts, reading


def files(slowdown: float) -> tuple[list[dict[str, object]], list[tuple[int, dict[str, object]]]]:
    own = [
        hosts.case("n1", 1, 0.010, noise=0.001, seed=1, batch_size=4),
        hosts.case("n1", 1, 0.020, noise=0.001, seed=2, batch_size=8),
        hosts.case("n2", 2, 0.0398 * slowdown, noise=0.001, seed=3, batch_size=16),
    ]
    repeat = hosts.case("n2", 2, 0.010 * slowdown, noise=0.001, seed=4, batch_size=4)
    return own, [(2, repeat)]


def test_hosts_and_their_hardware_are_columns_if_there_are_several(tmp_path: Path) -> None:
    own, repeats = files(1.3)
    facts = [hosts.host_facts("n1"), hosts.host_facts("n2", cpu="Another", usable_cores=8)]
    run = load(hosts.write(tmp_path / "run", own, repeats, facts))
    rows = reading.table(markdown.render(run))
    assert [row["host"] for row in rows] == ["n1", "n1", "n2"]
    assert rows[2]["hardware"] == "Another, 8 cores, 23 GiB"
    assert " n2 " in reading.printed(run, width=200)
    section = reading.rows(reading.titled(run, "Hosts"))
    assert [row["host"] for row in section] == ["n1", "n2"]
    assert section[1]["hardware"] == "Another, 8 cores, 23 GiB"
    assert section[1]["speed"].startswith("0.77×")
    assert section[1]["speed"].endswith("! slow")
    assert [row["reference, samples/s"] for row in section] == ["400", "308"]


def test_the_slow_host_is_named_with_its_interval(tmp_path: Path) -> None:
    own, repeats = files(1.3)
    run = load(hosts.write(tmp_path / "run", own, repeats, [hosts.host_facts(n)
                                                          for n in ("n1", "n2")]))  # fmt: skip
    (sentence,) = words.slow(run)
    assert sentence.startswith("Host n2 is slow: 0.77× (0.7")
    assert sentence in caveats.caveats(run)
    assert "hardware" not in reading.table(markdown.render(run))[0]
    assert summary.machine(run).startswith("2 hosts (n1, n2): each Intel(R) Xeon(R) Processor")


def test_the_fastest_case_is_chosen_as_if_all_were_on_one_host(tmp_path: Path) -> None:
    own, repeats = files(1.3)
    facts = [hosts.host_facts(name) for name in ("n1", "n2")]
    text = headline(load(hosts.write(tmp_path / "run", own, repeats, facts)))
    # 16 samples in 39.8 ms x 1.3 are fewer a second than 4 in 10 ms, and yet the setting is faster.
    assert text.startswith("Fastest: batch size 16 (309 samples/s on n2)"), text


def test_hosts_without_a_common_case_are_not_compared(tmp_path: Path) -> None:
    own, _ = files(1.0)
    facts = [hosts.host_facts(name) for name in ("n1", "n2")]
    run = load(hosts.write(tmp_path / "run", own, [], facts))
    assert any("no measured case in common" in note for note in caveats.caveats(run))
    assert headline(run).startswith("The 2 cases do not clearly differ")  # those on n1


def test_one_host_is_a_machine_like_any_other(tmp_path: Path) -> None:
    own, _ = files(1.0)
    run = load(hosts.write(tmp_path / "run", own[:2], [], [hosts.host_facts("n1")]))
    assert "host" not in reading.table(markdown.render(run))[0]
    assert "Hosts" not in markdown.render(run)
    assert not list(words.slow(run))


def test_missing_cases_are_resumed_on_the_same_engine(tmp_path: Path) -> None:
    own, _ = files(1.0)
    run = load(hosts.write(tmp_path / "run", own, [], [hosts.host_facts("n1")]))
    assert summary.resume(run) == (
        f"stepbench run --resume {tmp_path}/run --on slurm --on-option gres=gpu:1"
    )


def test_hardware_counts_gpus(tmp_path: Path) -> None:
    devices = {"cpu": "Intel(R) Xeon(R) Processor", "cuda:0": "H200", "cuda:1": "H200"}
    own, repeats = files(1.0)
    facts = [hosts.host_facts("n1", devices=devices), hosts.host_facts("n2", usable_cores=1)]
    run = load(hosts.write(tmp_path / "run", own, repeats, facts))
    assert words.hardware(run.hosts[0]).startswith("2 x H200, Intel(R) Xeon(R) Processor, 2 cores")
    assert "1 core," in words.hardware(run.hosts[1])


def test_many_hosts_are_counted(tmp_path: Path) -> None:
    own, _ = files(1.0)
    facts = [hosts.host_facts(f"n{number}", usable_cores=number) for number in range(1, 6)]
    run = load(hosts.write(tmp_path / "run", own, [], facts))
    assert words.machines(run) == "5 hosts (n1, n2, n3 and 2 more) of 5 kinds of hardware"
