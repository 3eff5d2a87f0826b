"""How an answer is scored against the faults that were planted, and the command that asks."""

import json
import sys

import planted_faults
import pytest
from plant import fault_set, score
from planted_world import (
    COUNT,
    KINDS,
    TEST,
    TRAIN,
    files_of,
    source_of,
    with_all_shortcuts,
)

TRUTH = [
    ("train/a/00001.png", "unreadable file", "no bytes", "0 bytes"),
    ("train/a/00002.png", "blank", "one colour", "colour #000000"),
    ("train/a/00003.png", "blank", "one colour", "colour #010101"),
    ("train/a/00004.png", "blurred", "box", "side 5"),
    ("train/b/00005.png", "near copy across classes", "mirrored", "mirrored", "train/a/00006.png"),
    ("train/b/00007.png", "exact copy across classes", "BMP", "BMP", "train/a/00008.png"),
    ("test/b/00000.png", "near copy across splits", "noise", "noise", "train/b/00009.png"),
    ("train/b/00010.png", "wrong label", "moved", "a as b", "", "a"),
    ("tiny", "small class", "few training images", "1 training, 0 test"),
    ("train/a/00011.png", "shortcut", "watermark", "6x6 at 1 1"),
    ("train/a/00012.png", "shortcut", "watermark", "6x6 at 1 1"),
    ("train/b/00013.png", "shortcut", "name", 'prefix "x"'),
]
UNTOUCHED = [f"train/b/001{number:02d}.png" for number in range(10)]


def answer(*findings: tuple[str, list[dict]]) -> dict:
    return {
        "name": "set",
        "left_out": [{"split": "train", "file": "train/a/00001.png", "reason": "empty"}],
        "findings": [
            {"code": code, "severity": "error", "title": code, "items": items}
            for code, items in findings
        ],
    }


def scored(given: dict, **options):
    truth = [fault_set.Planted(*row) for row in TRUTH]
    files = [row[0] for row in TRUTH if "/" in row[0]]
    files += [row[4] for row in TRUTH if len(row) > 4 and row[4]]
    return score.score(truth, given, [*files, *UNTOUCHED, "train/tiny/00000.png"], **options)


def item(file: str | None, *others: str, label: str | None = None) -> dict:
    return {"file": file, "class": label, "others": [{"file": other} for other in others]}


@pytest.fixture(scope="module")
def with_shortcuts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shortcuts") / "set"
    return with_all_shortcuts(source_of(), folder)


def test_an_empty_answer_finds_nothing_and_names_nothing():
    result = scored(answer())
    assert [each.outcome for each in result.faults] == ["missed"] * 11
    assert (result.untouched, result.named, result.left_out) == (10, {}, 1)
    assert result.left_out_untouched == 0


def test_every_fault_is_scored_by_its_code_and_its_file():
    given = answer(
        ("TS001", [item("train/a/00001.png")]),
        ("TS009", [item("train/a/00002.png"), item("train/b/00100.png")]),
        ("TS012", [item("train/a/00003.png"), item("train/b/00100.png")]),  # fair for a blank one
        ("TS003", [item("train/a/00004.png")]),  # not fair for a blurred one
        ("TS007", [item("train/a/00006.png", "train/b/00005.png", "train/b/00101.png")]),
        ("TS015", [item("train/b/00007.png"), item("train/b/00102.png")]),
        ("TS008", [item("train/b/00009.png", "train/a/00002.png")]),  # with a wrong partner
        ("TS013", [item(None, label="tiny")]),
        ("TS016", [item(None, label="a"), item("train/b/00103.png")]),
    )
    result = scored(given)
    assert [(each.file, each.outcome, each.together) for each in result.faults] == [
        ("train/a/00001.png", "found", False),
        ("train/a/00002.png", "found", False),
        ("train/a/00003.png", "neighbour", False),
        ("train/a/00004.png", "missed", False),
        ("train/b/00005.png", "found", True),
        ("train/b/00007.png", "neighbour", False),
        ("test/b/00000.png", "found", False),
        ("train/b/00010.png", "missed", False),
        ("tiny", "found", False),
        ("a/", "found", False),
        ("b/", "missed", False),
    ]
    assert result.faults[1].codes == "TS008 TS009"
    assert result.faults[3].codes == "TS003"
    assert result.named == {
        "train/b/00100.png": ("TS009", "TS012"),
        "train/b/00101.png": ("TS007",),
        "train/b/00102.png": ("TS015",),
        "train/b/00103.png": ("TS016",),
    }
    text = score.summary(result, ["Two sentences.", "Of notes."])
    assert "| blank | TS009 | 2 | 1 | 1 | 0 |  |" in text
    assert "| near copy across classes | TS007 | 1 | 1 | 0 | 0 | 1 |" in text
    assert "| all |  | 11 | 6 | 2 | 3 |  |" in text
    assert (
        "named by a finding of TS001 to TS012: 2 of 10 (20.00%); TS007 1, TS009 1, TS012 1" in text
    )
    assert "probably labelled wrong (TS015): 1 of 10 (10.00%)" in text
    assert "a shortcut (TS016): 1 of 10 (10.00%)" in text
    assert "| blurred | box | side 5 | train/a/00004.png |  | TS003 |" in text
    assert text.endswith("Two sentences. Of notes.\n")


def test_an_answer_made_from_the_truth_is_perfect(with_shortcuts):
    folder, result = with_shortcuts
    codes = KINDS | {"small class": "TS013", "shortcut": "TS016"}
    items: dict[str, list[dict]] = {}
    for each in result.planted:
        about = each.file if each.kind == "small class" else None
        named = item(None if about else each.file, *filter(None, [each.partner]), label=about)
        items.setdefault(codes[each.kind], []).append(named)
    given = answer(*items.items())
    perfect = score.score(result.planted, given, files_of(folder))
    assert {each.outcome for each in perfect.faults} == {"found"}
    assert len(perfect.faults) == 16 * COUNT + 4 + 5
    assert all(each.together for each in perfect.faults if each.partner)
    assert perfect.named == {}
    marked = sum(each.kind == "shortcut" for each in result.planted)
    assert perfect.untouched == TRAIN + TEST - (16 + 6) * COUNT - marked
    assert "## Not found under their code\n\nNone.\n" in score.summary(perfect, [])


def test_a_shortcut_is_found_by_one_of_its_images_and_a_small_class_by_one_of_its_own():
    given = answer(
        ("TS016", [item("train/a/00012.png")]),
        ("TS013", [item("train/tiny/00000.png")]),
    )
    outcomes = {each.file: each.outcome for each in scored(given).faults}
    assert (outcomes["a/"], outcomes["b/"], outcomes["tiny"]) == ("found", "missed", "found")


def test_a_check_that_was_not_asked_misses_nothing():
    result = scored(answer(), not_asked=["TS015"])
    outcomes = {each.kind: each.outcome for each in result.faults}
    assert outcomes["wrong label"] == "not asked"
    assert outcomes["near copy across classes"] == "missed"
    text = score.summary(result, [])
    assert "| wrong label | TS015 | 1 | 0 | 0 | not asked |  |" in text
    assert "00010.png" not in text


SMALL = ("--data", "digits", "--train", 100, "--test", 60, "--count", 1)


def test_the_command_plants_asks_and_scores(tmp_path, monkeypatch, capsys):
    command = planted_faults
    given = json.dumps(answer(("TS001", [item("train/a/00001.png")])))
    echo = (
        f"import sys; open({str(tmp_path / 'asked')!r}, 'w').write(' '.join(sys.argv[1:])); "
        f"print({given!r})"
    )
    monkeypatch.setattr(command, "TINYSCOPE", (sys.executable, "-c", echo))
    out = tmp_path / "out"
    command.main([*map(str, SMALL), "--out", str(out), "--no-training"])
    asked = f"data {out / 'set'} --out {out / 'answer'} --json --no-training"
    assert (tmp_path / "asked").read_text() == asked
    text = (out / "summary.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out == text + "\n"
    assert "| unreadable file | TS001 | 1 | 0 | 0 | 1 |  |" in text
    assert "| wrong label | TS015 | 1 | 0 | 0 | not asked |  |" in text
    assert (out / "named_untouched.csv").read_text(encoding="utf-8").splitlines() == ["file,codes"]
    faults = (out / "faults.csv").read_text(encoding="utf-8").splitlines()
    assert faults[0] == "file,kind,variant,strength,partner,outcome,codes,together"
    assert len(faults) == 1 + 16 + 4
    assert len(list((out / "sheets").iterdir())) == 16

    truth = fault_set.read_truth(out / "truth.csv")
    blank = next(each.file for each in truth if each.kind == "blank")
    (tmp_path / "mine.json").write_text(json.dumps(answer(("TS009", [item(blank)]))))
    command.main(["--out", str(out), "--answer", str(tmp_path / "mine.json")])
    assert "| blank | TS009 | 1 | 1 | 0 | 0 |  |" in (out / "summary.md").read_text("utf-8")

    with pytest.raises(SystemExit, match="set is not empty"):
        command.main([*map(str, SMALL), "--out", str(out)])


def test_a_command_that_fails_or_takes_too_long_is_told(tmp_path, monkeypatch):
    command = planted_faults
    asked = command._asked(["--out", str(tmp_path), "--timeout", "0.2"])
    monkeypatch.setattr(command, "TINYSCOPE", (sys.executable, "-c", "import time; time.sleep(9)"))
    with pytest.raises(SystemExit, match=r"^tinyscope data took more than 0.2 seconds\.$"):
        command._answer(asked, tmp_path)
    asked.timeout = 60
    monkeypatch.setattr(command, "TINYSCOPE", (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(SystemExit, match=r"^tinyscope data ended with status 3\.$"):
        command._answer(asked, tmp_path)


def test_shortcuts_without_a_name_are_all_of_them(tmp_path):
    def asked(*words: str) -> list[str]:
        return planted_faults._asked(["--out", str(tmp_path), *words]).shortcuts

    assert asked() == []
    assert asked("--shortcuts") == ["watermark", "frame", "encoder", "camera", "name"]
    assert asked("--shortcuts", "frame") == ["frame"]
