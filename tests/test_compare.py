"""`ganzoo compare`: runs side by side, told honestly, as a table, CSV, JSON and a page, looked at in a browser too."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
import statistics
from pathlib import Path

import numpy
import pytest
import test_report
from click.testing import CliRunner
from PIL import Image
from test_report import HOSTILE, Elements, configure, data, drawn, log, settle

from ganzoo import train
from ganzoo.cli import main
from ganzoo.errors import RunError, UsageError
from ganzoo.metrics.evaluate import Asked, evaluate
from ganzoo.registry import installed
from ganzoo.report.comparison import Absent, Comparison, compare, runs_of
from ganzoo.report.comparison_page import page, write
from ganzoo.report.comparison_table import to_json, write_csv
from ganzoo.run import Run

browser = test_report.browser
LOSSES = ("hinge", "wgan-gp", "lsgan")
PROTOCOL = {"made": "a", "seed": 0, "count": 64, "options": {}, "reference": "digits", "halves": 1.5}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder of six runs: three losses, two seeds."""
    home = tmp_path_factory.mktemp("six")
    for loss in LOSSES:
        for seed in (0, 1):
            train(
                arch="dcgan:width=4,latent=4",
                loss=loss,
                data="digits:size=16",
                batch=8,
                steps=6,
                seed=seed,
                device="cpu",
                log_every=1,
                sample_every=0,
                out=home / f"{loss}-{seed}",
                quiet=True,
            )
    return home


@pytest.fixture
def six(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "six"))


def measured(run: Path, value: float, name: str = "frechet@identity", interval=None, step: int = 6, **protocol) -> None:
    """Add a line as `ganzoo evaluate` does."""
    row = {"step": step, "name": name, "value": value, "interval": interval}
    with (run / "measures.jsonl").open("a") as file:
        file.write(json.dumps({**row, "protocol": {**PROTOCOL, "made": run.name, **protocol}}) + "\n")


def compared(*paths: Path) -> Comparison:
    return compare(runs_of(paths))


def row(found: Comparison, loss: str) -> dict:
    (one,) = (one for one in to_json(found)["rows"] if one["settings"]["loss"] == loss)
    return one


# What is compared


def test_runs_that_differ_only_in_their_seed_are_one_row(six):
    values = {loss: [index + 10.0, index + 13.5] for index, loss in enumerate(LOSSES)}
    for loss in LOSSES:
        for seed in (0, 1):
            measured(six / f"{loss}-{seed}", values[loss][seed], seed=seed, halves=seed + 0.5)
    found = compared(six)
    assert len(found.groups) == 3
    for loss in LOSSES:
        numbers = row(found, loss)["numbers"]["frechet@identity"]
        assert numbers["values"] == values[loss]
        assert numbers["mean"] == pytest.approx(statistics.mean(values[loss]))
        assert numbers["deviation"] == pytest.approx(statistics.stdev(values[loss]))
        assert [run["seed"] for run in row(found, loss)["runs"]] == [0, 1]


def test_columns_tell_what_differs_and_the_rest_is_told_once(six):
    wide = train(
        arch="dcgan:width=6,latent=4", loss="hinge", data="digits:size=16", batch=8, steps=6, device="cpu",
        out=six / "wide", quiet=True,
    )  # fmt: skip
    found = compared(six / "hinge-0", wide.path, six / "lsgan-0")
    assert found.settings.varied == ["architecture", "loss"]
    assert [group.settings["architecture"] for group in found.groups] == [
        "dcgan:width=4",
        "dcgan:width=6",
        "dcgan:width=4",
    ]
    assert found.settings.same["data"] == "digits:size=16"
    assert "rate=" in found.settings.same["procedure"]
    (shared,) = (part["options"] for part in found.settings.parts if part["role"] == "architecture")
    assert shared["latent"] == "4"
    assert "width" not in shared
    brought = compared(six / "hinge-0", six / "wgan-gp-0")
    assert brought.settings.varied == ["loss", "regularizers", "procedure"]
    assert "n_critic=5" in brought.groups[1].settings["procedure"]
    assert [group.label for group in brought.groups] == ["hinge · none", "wgan-gp · gradient-penalty"]


def test_a_run_that_has_made_fewer_steps_is_no_seed_of_the_others(six):
    train(six / "hinge-1" / "config.json", out=six / "hinge-1", steps=8, device="cpu", quiet=True)
    found = compared(six / "hinge-0", six / "hinge-1")
    assert [group.steps for group in found.groups] == [6, 8]
    assert len({group.label for group in found.groups}) == 2


def test_measures_of_different_protocols_are_never_mixed(six):
    measured(six / "hinge-0", 1.0, made="hinge-0", seed=0, bias=0.5)
    measured(six / "hinge-1", 2.0, made="hinge-1", seed=7, bias=0.7)
    measured(six / "lsgan-0", 3.0, count=128)
    measured(six / "lsgan-1", 4.0, options={"k": 3})
    found = compared(six / "hinge-0", six / "hinge-1", six / "lsgan-0", six / "lsgan-1")
    assert [column.label for column in found.columns] == [
        "frechet@identity (count 64, k not given)",
        "frechet@identity (count 128, k not given)",
        "frechet@identity (count 64, k 3)",
    ]
    assert [[cell.values for cell in column.cells] for column in found.columns] == [[[1, 2], []], [[], [3]], [[], [4]]]
    assert str(found.columns[1].cells[1]) == "3 (1 of 2)"


def test_the_newest_measure_is_of_the_latest_step(six):
    run = six / "hinge-0"
    measured(run, 1.0)
    measured(run, 2.0)
    measured(run, 9.0, step=3)
    found = compared(run, six / "lsgan-0")
    assert found.columns[0].cells[0].values == [2.0]
    measured(six / "lsgan-0", 5.0, step=3)
    assert "frechet@identity of lsgan-0 was measured at step 3 of 6" in compared(run, six / "lsgan-0").notes


@pytest.mark.parametrize(
    ("hinge", "lsgan", "mark"),
    [
        ([1.0, 1.2], [2.0, 2.2], "best"),
        ([1.0, 1.9], [1.8, 2.2], "best, within the spread"),
        ([1.0], [2.0], "best, one seed"),
        ([1.0, 1.2], [2.0], "best, one seed"),
        ([1.0], [1.0], None),
    ],
)
def test_the_best_is_marked_with_what_speaks_against_it(six, hinge, lsgan, mark):
    for loss, values in (("hinge", hinge), ("lsgan", lsgan)):
        for seed, value in enumerate(values):
            measured(six / f"{loss}-{seed}", value)
            measured(six / f"{loss}-{seed}", value, "density@identity")
            measured(six / f"{loss}-{seed}", -value, "recall@identity")
    found = compared(six)
    for name, wanted in (("frechet", mark), ("recall", mark), ("density", None)):
        marks = {loss: row(found, loss)["numbers"][f"{name}@identity"]["mark"] for loss in ("hinge", "lsgan")}
        assert marks == {"hinge": wanted, "lsgan": None}


def test_intervals_that_touch_are_told_for_single_runs(six):
    measured(six / "hinge-0", 1.0, interval=[0.5, 1.8])
    measured(six / "lsgan-0", 2.0, interval=[1.7, 2.5])
    found = compared(six / "hinge-0", six / "lsgan-0")
    assert [cell.mark for cell in found.columns[0].cells] == ["best, within the spread", ""]
    assert str(found.columns[0].cells[0]) == "1 [0.5, 1.8]"


def test_a_value_that_is_not_finite_is_shown_and_never_the_best(six):
    measured(six / "hinge-0", float("nan"))
    measured(six / "lsgan-0", 2.0)
    measured(six / "wgan-gp-0", 3.0)
    found = compared(six / "hinge-0", six / "lsgan-0", six / "wgan-gp-0")
    assert [str(cell) for cell in found.columns[0].cells] == ["nan", "2", "3"]
    assert [bool(cell.mark) for cell in found.columns[0].cells] == [False, True, False]
    assert row(found, "hinge")["numbers"]["frechet@identity"]["mean"] is None


def test_every_measure_with_a_direction_is_one_that_its_metric_takes(tmp_path):
    random = numpy.random.default_rng(0)
    for name in ("made", "real"):
        numpy.savez(tmp_path / f"{name}.npz", samples=random.standard_normal((64, 2)))
    asked = ["frechet", "kernel", "sliced-wasserstein", "precision-recall", "density-coverage", "memorisation"]
    for name in asked:
        metric = installed().get("metric", name)
        taken = evaluate(tmp_path / "made.npz", Asked([name], reference=str(tmp_path / "real.npz")))
        names = {result["name"].partition("@")[0] for result in taken}
        assert {*metric.larger_is_better, *metric.smaller_is_better} <= names
        assert bool(metric.larger_is_better or metric.smaller_is_better) == (name != "memorisation")


def test_runs_without_measures_are_compared_by_what_they_logged(six):
    found = compared(six / "hinge-0", six / "lsgan-0")
    last = json.loads((six / "lsgan-0" / "log.jsonl").read_text().splitlines()[-1])
    numbers = row(found, "lsgan")["numbers"]
    assert numbers["last loss/generator"]["values"] == [last["loss/generator"]]
    assert "last seconds" not in numbers
    assert {numbers[name]["mark"] for name in numbers} == {None}


def test_one_run_made_twice_is_told(six):
    shutil.copytree(six / "hinge-0", six / "again")
    assert any("one run made 2 times" in note for note in compared(six).notes)
    assert len(compared(six / "hinge-0", six / "hinge-0", six).members) == 7  # one folder counts once


def test_two_folders_of_one_name_are_told_apart(six, tmp_path):
    shutil.copytree(six / "lsgan-0", tmp_path / "other" / "hinge-0")
    names = [member.name for member in compared(six / "hinge-0", tmp_path / "other" / "hinge-0").members]
    assert names == [str(six / "hinge-0"), str(tmp_path / "other" / "hinge-0")]


def test_a_run_that_has_hardly_begun_is_there(six):
    for name in ("log.jsonl", "samples", "checkpoints"):
        path = six / "hinge-0" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = compared(six / "hinge-0", six / "lsgan-0")
    assert "hinge-0 has 0 of 6 steps" in found.notes
    assert "none that can be shown" in page(found)


# The command


def test_the_command_tells_it_as_text_csv_json_and_a_page(six, ganzoo, tmp_path):
    for loss in LOSSES:
        for seed in (0, 1):
            measured(six / f"{loss}-{seed}", len(loss) + seed / 3, interval=[0, 9.5])
    done = ganzoo("compare", six, "--csv", "t.csv", "--out", "t.html", "--json")
    told = json.loads(done.stdout)
    assert [one["settings"]["loss"] for one in told["rows"]] == sorted(LOSSES)
    rows = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert len(rows) == 6
    one = next(found for found in rows if found["run"] == "wgan-gp-1")
    assert float(one["frechet@identity"]) == 7 + 1 / 3
    assert (one["loss"], one["seed"], one["steps"], one["frechet@identity high"]) == ("wgan-gp", "1", "6", "9.5")
    assert "6 runs compared" in (tmp_path / "t.html").read_text(encoding="utf-8")
    text = CliRunner().invoke(main, ["compare", str(six)]).stdout
    assert "5.167 ± 0.24" in text
    assert "~ best, within the spread" in text


def test_what_cannot_be_compared_is_told_in_a_sentence(six, tmp_path):
    for words, told in (
        (["compare", tmp_path / "nothing"], "is not a run"),
        (["compare", six / "hinge-0", "--csv", six / "hinge-0"], "cannot write"),
    ):
        result = CliRunner().invoke(main, list(map(str, words)))
        assert (result.exit_code, told in result.stderr) == (1, True)
    with pytest.raises(RunError):
        runs_of([tmp_path / "nothing"])
    with pytest.raises(UsageError, match="no run to compare"):
        compare([])


# The page


def test_the_strip_is_the_first_row_of_the_last_picture(six):
    text = page(compared(six / "hinge-0", six / "lsgan-0"))
    shown = [image["src"].partition(",")[2] for image in Elements(text).of("img")]
    for packed, name in zip(shown, ("hinge-0", "lsgan-0"), strict=True):
        strip = numpy.asarray(Image.open(io.BytesIO(base64.b64decode(packed))))
        sheet = numpy.asarray(Image.open(six / name / "samples" / "step-00000006.png"))
        assert strip.shape == (16, 8 * 18 - 2)
        assert (strip == sheet[:16]).all()


def test_large_samples_are_reduced_and_text_is_text(six):
    Image.new("RGB", (8 * 1026 - 2, 2050)).save(six / "hinge-0" / "samples" / "step-00000006.png")
    configure(six / "hinge-0", lambda values: values["spec"].update(shape=[3, 1024, 1024]))
    (six / "lsgan-0" / "samples" / "step-00000007.txt").write_text(f"{HOSTILE}\n" + "line\n" * 20)
    text = page(compared(six / "hinge-0", six / "lsgan-0"))
    (image,) = Elements(text).of("img")
    assert int(image["height"]) <= 128
    assert text.count("line\n") == 7
    assert HOSTILE not in text


def test_curves_of_a_row_share_a_name_and_a_row_keeps_its_colour(six):
    charts = {chart["title"]: chart["curves"] for chart in data(page(compared(six)))["charts"]}
    colours = {(curve["name"], curve["colour"]) for curves in charts.values() for curve in curves}
    assert colours == {("hinge · none", 0), ("lsgan · none", 1), ("wgan-gp · gradient-penalty", 2)}
    assert len(charts["loss/generator"]) == 6
    assert {curve["colour"] for curve in charts["penalty/gradient-penalty"]} == {2}
    assert not {"seconds", "samples_per_second"} & set(charts)


def test_more_rows_than_colours_are_more_charts(six):
    for index in range(9):
        home = shutil.copytree(six / "hinge-0", six / f"copy-{index}")

        def change(values, index=index):
            values["batch"] = values["identity"]["batch"] = 100 + index

        configure(home, change)
    titles = [chart["title"] for chart in data(page(compared(six)))["charts"]]
    assert {"loss/generator 1", "loss/generator 2"} <= set(titles)
    assert "loss/generator" not in titles


def test_a_measure_of_several_steps_is_a_curve(six):
    for step in (3, 6):
        measured(six / "hinge-0", 10.0 - step, step=step, interval=[0, 10])
    (chart,) = (one for one in data(page(compared(six)))["charts"] if one["title"] == "frechet@identity")
    assert [curve["x"] for curve in chart["curves"]] == [[3, 6]]


def hostile(six: Path) -> Comparison:
    """Six runs, of which one is an attack wherever a run can hold text."""
    home = (six / "hinge-0").rename(six / HOSTILE.replace("/", "∕"))

    def change(values):
        values["architecture"]["options"]["norm"] = values["init"] = HOSTILE
        values["identity"]["init"] = HOSTILE
        values["versions"][HOSTILE] = HOSTILE

    configure(home, change)
    log(home, [{"step": step, HOSTILE: step, f"{HOSTILE}/a": 1, "warnings": [HOSTILE]} for step in range(1, 4)])
    measured(home, 1.0, HOSTILE, **{HOSTILE: [HOSTILE]})
    return compare(runs_of([six]), [Absent(HOSTILE, f"does not fit: {HOSTILE}")])


def test_hostile_runs_stay_text(six):
    text = page(hostile(six))
    assert text.count("</script>") == 2
    assert "<!--" not in text
    elements = Elements(text)
    assert len(elements.of("img")) == 6
    for _, attributes in elements.found:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]


def test_the_page_asks_for_nothing_and_its_policy_allows_only_its_own_script(six):
    text = page(compared(six))
    shorter = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", shorter)
    policy = next(meta["content"] for meta in Elements(text).of("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "'unsafe" not in policy


def test_what_does_not_fit_stands_in_the_table(six):
    found = compare(runs_of([six]), [Absent("dcgan_r9", "does not fit: there is a reason")])
    assert "does not fit: there is a reason" in page(found)
    assert to_json(found)["missing"] == [{"name": "dcgan_r9", "why": "does not fit: there is a reason"}]


@pytest.fixture
def look(browser, tmp_path):
    """Open a comparison's page as a file; whatever it complains of, asks for or pops up fails the test."""
    complaints, contexts = [], []

    def opened(found: Comparison, width: int = 1280):
        path = write(found, tmp_path / f"page-{len(contexts)}.html")
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}))
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: complaints.append(dialog.message))
        tab.on("request", lambda request: request.url.startswith(("file:", "data:")) or complaints.append(request.url))
        tab.goto(path.as_uri())
        settle(tab)
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def test_a_name_in_the_legend_stands_for_all_seeds_of_a_row(look, six):
    tab = look(compared(six))
    chart = tab.locator(".chart").filter(has=tab.get_by_role("heading", name="loss/generator", exact=True))
    assert chart.locator(".legend button").count() == 3
    last = [json.loads((six / f"hinge-{seed}" / "log.jsonl").read_text().splitlines()[-1]) for seed in (0, 1)]
    mean = statistics.mean(record["loss/generator"] for record in last)
    assert float(chart.locator(".legend b").first.inner_text()) == pytest.approx(mean, rel=1e-3)
    index = tab.locator(".chart").evaluate_all(
        "(all) => all.findIndex((chart) => chart.querySelector('h3').textContent === 'loss/generator')"
    )
    before = drawn(tab, index)
    chart.locator(".legend button").first.click()
    assert chart.locator(".legend button").first.get_attribute("aria-pressed") == "false"
    assert drawn(tab, index) != before
    chart.locator(".legend button").first.click()
    tab.mouse.move(0, 0)
    assert drawn(tab, index) == before


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_nothing_sticks_out_sideways(look, six, width):
    for loss in LOSSES:
        measured(six / f"{loss}-0", 1.5, "frechet@lenet-mnist-" + "0" * 64, interval=[1.25, 1.75], reference="x" * 100)
    tab = look(hostile(six), width)
    for summary in tab.locator("#runs summary").all():
        summary.click()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_without_a_script_the_table_and_the_samples_are_there(browser, six, tmp_path):
    measured(six / "hinge-0", 123.5)
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(write(compared(six), tmp_path / "page.html").as_uri())
    assert tab.get_by_text("123.5 (1 of 2)").is_visible()
    assert tab.get_by_text("The table above has the last numbers").is_visible()
    assert tab.get_by_role("img", name="Samples of hinge-0").is_visible()
    context.close()


def test_csv_is_written_whole_or_not_at_all(six):
    with pytest.raises(RunError, match="cannot write"):
        write_csv(compared(six), six / "hinge-0")
    assert Run.open(six / "hinge-0")
