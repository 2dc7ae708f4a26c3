"""`ganzoo report`: one page that needs nothing but itself, from a run folder alone; looked at in a real browser too."""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import json
import math
import os
import re
import shlex
import shutil
import time
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy
import pytest

from ganzoo import Spec, samples
from ganzoo.config import Choice
from ganzoo.errors import RunError
from ganzoo.report import block, curves, page, write
from ganzoo.report.command import repeating, written
from ganzoo.report.contents import clock
from ganzoo.run import Run

HOSTILE = """</script><img src=x onerror=alert(1)>'"&{{ 7*7 }}<!--"""
TINY = ("--arch", "dcgan:width=4,latent=4", "--data", "digits:size=16", "--batch", 8, "--device", "cpu")
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run of twelve steps, logged at each and sampled at every third. Copied by those who change it."""
    from subprocess import run

    from conftest import command, environment

    out = tmp_path_factory.mktemp("runs") / "small run"
    words = ("--loss", "wgan-gp", "--reg", "diffaugment:color=false", "--steps", 12)
    words += ("--log-every", 1, "--sample-every", 3, "--save-every", 0, "--out", out)
    done = run(command("train", *TINY, *words), env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def folder(trained, tmp_path):
    """A run folder of one's own."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def read(folder: Path) -> str:
    return page(Run.open(folder))


def data(text: str) -> dict:
    """The block of JSON that the page's script reads."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def series(text: str) -> dict[str, dict]:
    return {curve["name"]: curve for chart in data(text)["charts"] for curve in chart["curves"]}


def log(folder: Path, records: list[dict]) -> None:
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def configure(folder: Path, change) -> None:
    values = json.loads((folder / "config.json").read_text())
    change(values)
    (folder / "config.json").write_text(json.dumps(values))


class Elements(HTMLParser):
    """Every element that a page opens, with its attributes; headings in order."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict]:
        return [attributes for found, attributes in self.found if found == tag]


# The command


def test_the_command_writes_the_page_into_the_run(ganzoo, folder):
    done = ganzoo("report", folder)
    assert done.stdout.strip() == str(folder / "report.html")
    assert "<title>run · ganzoo report</title>" in (folder / "report.html").read_text(encoding="utf-8")
    assert not list(folder.glob(".report*"))
    ganzoo("train", "config.json", "--out", folder, "--steps", 13, "--device", "cpu", cwd=folder)  # still a run


def test_out_names_the_page(ganzoo, folder, tmp_path):
    ganzoo("report", folder, "--out", tmp_path / "pages" / "one.html")
    assert (tmp_path / "pages" / "one.html").exists()
    assert not (folder / "report.html").exists()


def test_what_is_no_run_and_what_cannot_be_written_are_told_in_a_sentence(ganzoo, folder, tmp_path):
    assert "is not a run" in ganzoo("report", tmp_path, code=1).stderr
    assert "cannot write" in ganzoo("report", folder, "--out", folder / "samples", code=1).stderr
    (folder / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        write(Run.open(folder), folder / "file" / "page.html")


# What it says


def test_every_part_is_there_with_its_options(trained):
    text = read(trained)
    config = Run.open(trained).config
    for choice in (config.architecture, config.loss, config.procedure, config.dataset, *config.regularizers):
        assert f'<th scope="row">{choice.name}</th>' in text
        for key in choice.options:
            assert f"<code>{key}=<b>" in text
    assert "<dt>torch</dt>" in text
    assert "<dt>steps</dt><dd>12</dd>" in text


def test_its_command_repeats_the_run(trained, ganzoo):
    told = html.unescape(re.search(r'<pre id="command".*?>(.*?)</pre>', read(trained), re.S)[1])
    words = shlex.split(told.replace("\\\n", " "))
    assert words[:2] == ["ganzoo", "train"]
    config = Run.open(trained).config.to_json()
    assert json.loads(ganzoo(*words[1:], "--dry-run").stdout) == {**config, "recipe": None}


def test_a_regularizer_that_was_taken_from_the_loss_stays_away(folder, ganzoo):
    configure(folder, lambda values: values.update(regularizers=[]))
    command, _ = repeating(Run.open(folder).config)
    assert "--no-reg gradient-penalty" in command
    words = shlex.split(command.replace("\\\n", " "))
    assert json.loads(ganzoo(*words[1:], "--dry-run").stdout)["regularizers"] == []


@pytest.mark.parametrize("recipe", ["gan-ring", "digits", "wgan-mnist", "sngan-cifar10"])
def test_commands_of_recipes_read_back(recipe):
    from ganzoo.config import resolve
    from ganzoo.registry import installed

    config = resolve(installed(), {"recipe": recipe})
    words = iter(shlex.split(repeating(config)[0].replace("\\\n", " "))[2:])
    given: dict = {"reg": [], "no_reg": []}
    for flag, value in zip(words, words, strict=True):
        key = flag.removeprefix("--").replace("-", "_")
        given[key] = [*given[key], value] if key in ("reg", "no_reg") else value
    again = resolve(installed(), given)
    assert {**again.to_json(), "recipe": recipe} == config.to_json()


@pytest.mark.parametrize(
    "value",
    ["a b", "a,b", "/some:where", 'say "x"', "it's", " edge ", "", [1, 2], True, None, 1e-5, "$(rm -rf x)", "a\nb"],
)
def test_options_are_written_so_that_they_read_back(value):
    text = written(Choice("part", {"first": value, "second": 1}))
    assert shlex.split(shlex.quote(text)) == [text]
    read_back = Choice.parse(text).options
    wanted = {True: "true", None: "none"}.get(value, str(value)) if not isinstance(value, list) else "1,2"
    assert read_back == {"first": wanted, "second": "1"}


def test_what_cannot_be_written_is_not_pretended(folder):
    configure(folder, lambda values: values["architecture"]["options"].update(norm="\"'"))
    _, remark = repeating(Run.open(folder).config)
    assert "the options of dcgan cannot be written as text" in remark
    assert "No command can say this" in read(folder)


def test_data_from_python_are_told_as_a_call(folder):
    configure(folder, lambda values: values.update(dataset={"name": "given", "options": {}}))
    command, remark = repeating(Run.open(folder).config)
    compile(command, "told", "eval")
    assert "data=data" in command
    assert "Python" in remark


def test_measures_stand_with_their_intervals_and_their_protocol(folder):
    rows = [
        {"step": step, "name": "frechet@lenet-1a2b", "value": 90 / step, "interval": [80 / step, 95 / step]}
        | {"protocol": {"count": 1000, "reference": HOSTILE}}
        for step in (12, 6)
    ]
    rows += [{"step": 12, "name": "modes", "value": 8, "interval": None, "protocol": {}}, "no measure", {}]
    rows += [{"step": None, "name": "coverage", "value": math.nan, "interval": [1, 2, 3], "protocol": [1]}]
    (folder / "measures.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"cut sho')
    text = read(folder)
    assert ">13.333 to 15.833</td>" in text
    assert "All measurements, newest first" in text
    assert HOSTILE not in text
    curve = series(text)["frechet@lenet-1a2b"]
    assert curve["x"] == [6, 12]
    assert curve["intervals"] == [[13.3333, 15.8333], [6.66667, 7.91667]]
    assert curve["measured"]
    assert "modes" not in series(text)  # one value is no curve


def test_warnings_come_from_the_log_and_from_their_file_each_once(folder):
    log(folder, [{"step": step, "warnings": ["score gap is growing"], "loss/generator": 1} for step in (10, 20, 30)])
    lines = [{"step": 30, "warning": "score gap is growing"}, {"step": 40, "message": HOSTILE}, "plain", {"odd": 1}]
    (folder / "warnings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = read(folder)
    listed = re.search(r'<section id="warnings".*?</section>', text, re.S)[0]
    assert listed.count("<li>") == 4
    assert re.search(r"score gap is growing\s*<span class=\"quiet\">step 10 to 30, 3 times", listed)
    assert '<section id="warnings"' not in read_without_warnings(folder)


def read_without_warnings(folder: Path) -> str:
    log(folder, [])
    (folder / "warnings.jsonl").unlink()
    return read(folder)


def test_a_run_that_has_not_logged_yet_has_a_page(folder):
    shutil.rmtree(folder / "samples")
    (folder / "log.jsonl").unlink()
    text = read(folder)
    assert "Nothing has been logged yet" in text
    assert "There are no samples yet" in text
    assert "<dt>steps</dt><dd>0 of 12</dd>" in text


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.25, "0.2 s"), (12.34, "12.3 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_seconds_in_words(seconds, words):
    assert clock(seconds) == words


# Samples


def test_pictures_are_in_the_page_as_they_are(trained):
    text = read(trained)
    files = sorted((trained / "samples").iterdir())
    assert [path.name[5:13] for path in files] == ["00000003", "00000006", "00000009", "00000012"]
    packed = ["data:image/png;base64," + base64.b64encode(path.read_bytes()).decode() for path in files]
    assert [sample["body"] for sample in data(text)["samples"]] == packed[:-1]
    assert [image["src"] for image in Elements(text).of("img")] == packed[-1:]
    assert data(text)["last"]["step"] == 12


def test_text_is_shown_as_text_and_other_forms_by_their_name(folder):
    shutil.rmtree(folder / "samples")
    (folder / "samples").mkdir()
    (folder / "samples" / "step-00000001.txt").write_text(HOSTILE)
    (folder / "samples" / "step-00000002.npz").write_bytes(b"numbers")
    (folder / "samples" / "step-00000003.png").write_bytes(b"no picture")
    (folder / "samples" / "step-00000004.csv").write_text("a,b\n" * 20_000)
    (folder / "samples" / "other.png").write_bytes(base64.b64decode(PICTURE))
    text = read(folder)
    first, second, third = data(text)["samples"]
    assert (first["form"], first["body"]) == ("text", HOSTILE)
    assert (second["form"], second["body"]) == ("file", "samples/step-00000002.npz")
    assert third["body"] == "step-00000003.png (not a whole picture)"
    assert len(text) < 120_000
    assert PICTURE not in text


def test_a_link_out_of_the_run_is_not_followed(folder, tmp_path):
    (tmp_path / "secret").write_text("the secret")
    (folder / "samples" / "step-00000099.txt").symlink_to(tmp_path / "secret")
    assert "the secret" not in read(folder)


def test_many_pictures_are_thinned_evenly(folder):
    for step in range(100, 500):
        (folder / "samples" / f"step-{step:08d}.png").write_bytes(base64.b64decode(PICTURE))
    text = read(folder)
    steps = [sample["step"] for sample in data(text)["samples"]]
    assert len(steps) == 59  # and the last one
    assert steps[0] == 3
    assert data(text)["last"]["step"] == 499
    assert max(numpy.diff(steps)) < 110
    assert "60 of 404 are in this page" in text


def test_large_pictures_stay_within_the_budget(folder):
    for step in range(100, 110):
        name = folder / "samples" / f"step-{step:08d}.png"
        name.write_bytes(base64.b64decode(PICTURE) + bytes(3_000_000))
    text = read(folder)
    assert len(text) < 17_000_000
    assert data(text)["last"]["step"] == 109


# Curves


def test_every_logged_number_has_a_curve(trained):
    found = series(read(trained))
    records = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert set(found) == set(records[0]) - {"step"}
    for name, curve in found.items():
        assert curve["x"] == list(range(1, 13))
        assert curve["y"] == pytest.approx([record[name] for record in records], rel=1e-5)


def test_numbers_that_are_not_finite_leave_valid_json(folder):
    values = [1.0, math.nan, math.inf, -math.inf, 2.5]
    log(folder, [{"step": step, "loss/generator": value, "loss/other": math.nan} for step, value in enumerate(values)])
    text = read(folder)
    packed = re.search(r'id="data">(.*?)</script>', text, re.S)[1]
    json.loads(packed, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert series(text)["loss/generator"]["y"] == [1, "nan", "inf", "-inf", 2.5]
    assert '<td class="n bad">3</td>' in text


def test_what_is_no_number_is_no_curve(folder):
    odd = {"text": "3", "flag": True, "list": [1], "none": None, "huge": 10**400, "loss/generator": 1}
    without = [{"step": "two", "loss/generator": 9}, {"step": math.nan, "x": 1}, 7]
    log(folder, [{"step": 1, **odd}, *without, {"step": 0, **odd}])
    found = series(read(folder))
    assert set(found) == {"loss/generator", "huge"}
    assert found["loss/generator"]["x"] == [0, 1]
    assert found["huge"]["y"] == ["inf", "inf"]


def test_thinning_keeps_extremes_gaps_and_ends():
    random = numpy.random.default_rng(0)
    values = random.normal(size=100_000)
    values[[31_415, 92_653]] = 50, -70
    values[60_000:60_500] = numpy.nan
    values[777] = numpy.inf
    kept = curves.keep(values)
    assert len(kept) <= 2_010
    assert (numpy.diff(kept) > 0).all()
    assert {0, 777, 31_415, 92_653, 99_999} <= set(kept.tolist())
    assert numpy.isnan(values[kept]).sum() in range(5, 8)
    for begin in range(0, 100_000, 100):
        bucket, chosen = values[begin : begin + 100], values[kept[(kept >= begin) & (kept < begin + 100)]]
        finite = bucket[numpy.isfinite(bucket)]
        if len(finite):
            assert finite.min() in chosen
            assert finite.max() in chosen


@pytest.mark.parametrize(
    "values", [numpy.full(9_999, numpy.nan), numpy.where(numpy.arange(50_001) % 2, numpy.inf, 1.0)]
)
def test_thinning_bounds_the_points_whatever_comes(values):
    assert len(curves.keep(values)) <= 1.5 * curves.POINTS + 2


def test_short_curves_are_whole():
    assert len(curves.keep(numpy.arange(2_000.0))) == 2_000


def test_a_thinned_curve_is_smoothed_over_means_not_extremes():
    curve = curves.Curve("loss")
    for step in range(100_000):
        curve.add(step, 100.0 if step % 100 == 0 else 0.0)
    packed = curve.to_json()
    assert packed["my"] == [1] * 1_000
    assert set(packed["y"]) == {0, 100}


def test_a_chart_never_has_more_curves_than_colours():
    many = [curves.Curve(f"norm/layer {index}") for index in range(20)]
    shown = {title: len(members) for title, members in curves.grouped(many)}
    assert shown == {"norm 1": 8, "norm 2": 8, "norm 3": 4}


@functools.cache
def long_log() -> str:
    random = numpy.random.default_rng(1)
    names = ("loss/generator", "loss/discriminator", "score/real", "score/fake", "penalty/gradient", "norm/generator")
    walks = 2 + random.normal(size=(100_000, len(names))).cumsum(0) / 50
    rows = []
    for index, walk in enumerate(walks.tolist()):
        record = {"step": index + 1, "seconds": index / 10, "samples_per_second": 640.0 + index % 7}
        rows.append(json.dumps(record | dict(zip(names, walk, strict=True))))
    return "\n".join(rows) + "\n"


def test_a_log_of_100000_steps_gives_a_small_page_soon(folder):
    (folder / "log.jsonl").write_text(long_log())
    began = time.perf_counter()
    path = write(Run.open(folder), folder / "report.html")
    assert time.perf_counter() - began < 10
    assert path.stat().st_size < 3_000_000
    assert all(len(curve["x"]) <= 2_002 for curve in series(path.read_text(encoding="utf-8")).values())


# Safety


def test_the_page_asks_for_nothing_and_its_policy_allows_only_its_own_script(trained):
    text = read(trained)
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", text.replace(data_uris(text), ""))
    elements = Elements(text)
    assert not elements.of("iframe") + elements.of("object") + elements.of("form")
    assert [link["href"] for link in elements.of("link")] == ["data:,"]
    for _, attributes in elements.found:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
    policy = next(meta["content"] for meta in elements.of("meta") if "http-equiv" in meta)
    script, style = (re.search(rf"<{tag}>(.*?)</{tag}>", text, re.S)[1] for tag in ("script", "style"))
    for kind, inline in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:; media-src data:;")
    assert not re.search(r"\beval\b|new Function|innerHTML|insertAdjacentHTML|document\.write", script)


def data_uris(text: str) -> str:
    return max(re.findall(r"data:image/png;base64,[A-Za-z0-9+/=]+", text), default="", key=len)


def hostile_run(folder: Path) -> Path:
    """A run whose every text is an attack, as far as a file system allows."""
    home = folder.rename(folder.with_name(HOSTILE.replace("/", "∕")))

    def change(values):
        values["architecture"]["options"]["norm"] = HOSTILE
        values["recipe"] = values["init"] = HOSTILE
        values["spec"]["classes"] = [HOSTILE]
        values["versions"][HOSTILE] = HOSTILE
        values["packages"]["architecture dcgan"] = HOSTILE
        values["identity"]["data"] = HOSTILE

    configure(home, change)
    log(home, [{"step": step, HOSTILE: step, f"{HOSTILE}/a": 1, "warnings": [HOSTILE]} for step in range(3)])
    row = {"step": 1, "name": HOSTILE, "value": HOSTILE, "interval": [1, 2], "protocol": {HOSTILE: [HOSTILE]}}
    (home / "measures.jsonl").write_text(json.dumps(row) + "\n")
    (home / "warnings.jsonl").write_text(json.dumps({"step": HOSTILE, "text": HOSTILE + "\ud800"}) + "\n")
    (home / "samples" / "step-00000020.txt").write_text(HOSTILE)
    return home


def test_hostile_names_stay_text(folder):
    home = hostile_run(folder)
    text = write(Run.open(home), home / "report.html").read_text(encoding="utf-8")
    assert text.count("</script>") == 2
    assert "<!--" not in text
    assert "{{ 7*7 }}" in text
    elements = Elements(text)
    assert len(elements.of("img")) == 1
    assert "onerror" not in {name for _, attributes in elements.found for name in attributes}
    assert [curve["name"] for chart in data(text)["charts"] for curve in chart["curves"]] == [HOSTILE, f"{HOSTILE}/a"]


def test_a_block_of_json_cannot_end_its_element():
    text = str(block({"</script>": "<!--<script>", "separator": "\u2028&"}))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"</script>": "<!--<script>", "separator": "\u2028&"}


def test_headings_are_in_order_and_controls_have_names(trained):
    elements = Elements(read(trained))
    assert elements.of("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in elements.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(canvas["aria-label"] and canvas["tabindex"] == "0" for canvas in elements.of("canvas"))
    assert all("alt" in image for image in elements.of("img"))


# In a browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "chromium-headless-shell")


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium: GANZOO_TEST_BROWSER, one on the path, or playwright's own."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    found = os.environ.get("GANZOO_TEST_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    rooted = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # Chromium refuses root otherwise
    with driver.sync_playwright() as started:
        try:
            opened = started.chromium.launch(executable_path=found, args=rooted)
        except driver.Error as error:
            pytest.skip(f"no Chromium (GANZOO_TEST_BROWSER names one): {str(error).splitlines()[0]}")
        yield opened
        opened.close()


@pytest.fixture
def look(browser, tmp_path):
    """Open a run's page as a file; whatever it complains of, asks the network for or pops up fails the test."""
    complaints, contexts = [], []

    def opened(folder: Path, width: int = 1280, height: int = 900, **how):
        path = write(Run.open(folder), tmp_path / f"page-{len(contexts)}.html")
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **how))
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


def settle(tab) -> None:
    """Until what was asked for is drawn."""
    tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def drawn(tab, chart: int = 0) -> str:
    settle(tab)
    return tab.evaluate(f"document.querySelectorAll('canvas')[{chart}].toDataURL()")


def drag(tab, begin: float, end: float, chart: int = 0) -> None:
    """Drag from one place to another, as fractions of a chart's width."""
    box = tab.locator("canvas").nth(chart).bounding_box()
    middle = box["y"] + box["height"] / 2
    tab.mouse.move(box["x"] + box["width"] * begin, middle)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * end, middle, steps=4)
    tab.mouse.up()
    settle(tab)


def shown_steps(tab) -> list[int]:
    return [int(word.replace(",", "")) for word in re.findall(r"[\d,]+", tab.locator("#range").inner_text())]


def test_dragging_zooms_all_charts_and_a_double_click_shows_all(look, trained):
    tab = look(trained)
    before = drawn(tab), drawn(tab, 1)
    tab.locator("canvas").first.scroll_into_view_if_needed()
    drag(tab, 0.4, 0.7)
    low, high = shown_steps(tab)
    assert 1 < low < high < 12
    assert drawn(tab) != before[0]
    assert drawn(tab, 1) != before[1]
    tab.locator("canvas").first.dblclick()
    tab.mouse.move(0, 0)
    assert shown_steps(tab) == [1, 12]
    assert (drawn(tab), drawn(tab, 1)) == before
    drag(tab, 0.9, 0.5)  # leftwards too
    assert shown_steps(tab) != [1, 12]
    tab.get_by_role("button", name="Show all").click()
    assert shown_steps(tab) == [1, 12]
    assert tab.get_by_role("button", name="Show all").is_disabled()


def test_hovering_reads_out_the_values(look, trained):
    tab = look(trained)
    records = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    chart = tab.locator(".chart").filter(has=tab.get_by_role("heading", name="loss", exact=True))
    assert chart.locator(".at").inner_text() == "last, step 12"
    chart.locator("canvas").scroll_into_view_if_needed()
    box = chart.locator("canvas").bounding_box()
    tab.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + 60)
    settle(tab)
    step = int(chart.locator(".at").inner_text().removeprefix("step "))
    assert step in (6, 7, 8)
    for name, value in zip(*(chart.locator(f".legend {tag}").all_inner_texts() for tag in ("span", "b")), strict=True):
        assert float(value) == pytest.approx(records[step - 1][name], rel=1e-4)


def test_scale_smoothing_and_hiding_change_the_picture(look, trained):
    tab = look(trained)
    seen = {drawn(tab)}
    tab.get_by_label("log", exact=True).check()
    seen.add(drawn(tab))
    tab.get_by_label("linear").check()
    slider = tab.get_by_label("Smoothing")
    slider.focus()
    for _ in range(5):
        tab.keyboard.press("ArrowRight")
    assert tab.locator("#smoothness").inner_text() == "0.05"
    seen.add(drawn(tab))
    tab.locator(".legend button").first.click()
    assert tab.locator(".legend button").first.get_attribute("aria-pressed") == "false"
    seen.add(drawn(tab))
    assert len(seen) == 4


def test_a_chart_works_with_the_keyboard(look, trained):
    tab = look(trained)
    tab.locator("canvas").first.focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowLeft"):
        tab.keyboard.press(key)
    settle(tab)
    assert tab.locator(".at").first.inner_text() == "step 10"
    assert tab.locator(".spoken").first.inner_text().startswith("step 10, ")
    tab.keyboard.press("+")
    low, high = shown_steps(tab)
    assert 1 < low <= 10 <= high
    tab.keyboard.press("Escape")
    assert shown_steps(tab) == [1, 12]


def test_the_slider_turns_through_the_samples(look, trained):
    tab = look(trained)
    image, sources = tab.locator("#sample img"), []
    assert image.evaluate("image => image.complete && image.naturalWidth") == 142
    tab.get_by_label("Step", exact=True).focus()
    for step in (12, 9, 6, 3):
        assert tab.locator("#sample figcaption").inner_text() == f"After step {step}"
        sources.append(image.get_attribute("src"))
        tab.keyboard.press("ArrowLeft")
    assert len(set(sources)) == 4
    assert tab.get_by_role("button", name="Earlier samples").is_disabled()
    tab.get_by_role("button", name="Later samples").click()
    assert image.get_attribute("alt") == "Samples after step 6"


def test_a_hostile_run_does_nothing(look, folder):
    tab = look(hostile_run(folder))
    assert tab.get_by_role("heading", level=1).inner_text() == HOSTILE.replace("/", "∕")
    assert tab.locator("img").count() == 1
    assert tab.locator("#sample pre").inner_text() == HOSTILE
    tab.get_by_role("button", name="Earlier samples").click()
    tab.locator("canvas").first.focus()
    tab.keyboard.press("ArrowLeft")
    settle(tab)


def test_without_a_script_the_page_still_says_what_matters(browser, trained, tmp_path):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(write(Run.open(trained), tmp_path / "page.html").as_uri())
    assert tab.locator("#sample img").is_visible()
    assert tab.get_by_text("The curves need JavaScript").is_visible()
    assert not tab.locator("canvas").first.is_visible()
    tab.get_by_text("as a table").click()
    assert tab.get_by_role("rowheader", name="loss/generator").is_visible()
    context.close()


def test_numbers_that_are_not_finite_are_drawn_without_a_word(look, folder):
    values = [1.0, math.nan, math.inf, -1.0, 0.0, 2.5]
    log(folder, [{"step": step, "loss/a": value, "loss/b": math.nan} for step, value in enumerate(values)])
    tab = look(folder)
    tab.locator("canvas").first.focus()
    for _ in range(4):
        tab.keyboard.press("ArrowLeft")
    settle(tab)
    assert tab.locator(".legend b").all_inner_texts() == ["inf", "nan"]
    tab.get_by_label("log", exact=True).check()
    settle(tab)


@pytest.mark.parametrize("records", [0, 1])
def test_runs_that_have_hardly_begun(look, folder, records):
    shutil.rmtree(folder / "samples")
    log(folder, [{"step": 1, "loss/a": 1.5}] * records)
    tab = look(folder)
    assert tab.locator("canvas").count() == records


def test_a_log_of_100000_steps_opens_in_two_seconds(look, folder):
    (folder / "log.jsonl").write_text(long_log())
    tab = look(folder)
    assert tab.evaluate("performance.now()") < 2000
    before = drawn(tab)
    tab.locator("canvas").first.scroll_into_view_if_needed()
    drag(tab, 0.5, 0.6)
    low, high = shown_steps(tab)
    assert 5_000 < high - low < 15_000
    assert drawn(tab) != before


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_nothing_sticks_out_sideways(look, folder, width):
    row = {"step": 12, "name": "frechet@lenet-mnist-" + "0" * 64, "value": 1.5, "interval": [1.25, 1.75]}
    (folder / "measures.jsonl").write_text(json.dumps(row | {"protocol": {"reference": "x" * 100}}) + "\n")
    tab = look(hostile_run(folder), width, 844)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_it_is_dark_where_that_is_preferred(look, trained):
    colours = {
        scheme: look(trained, color_scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    }
    light, dark = (sum(map(int, re.findall(r"\d+", colours[scheme])[:3])) for scheme in ("light", "dark"))
    assert light > 700
    assert dark < 100


def test_every_control_is_reached_by_the_tab_key(look, trained):
    tab = look(trained)
    wanted = tab.locator("button:enabled, input, canvas, summary, nav a").count() - 1  # a radio group is one stop
    reached = set()
    for _ in range(wanted + 10):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
        outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid" or tab.evaluate("document.activeElement === document.body")
    assert len(reached) >= wanted


# Sound, films and tables


def with_media(folder: Path) -> Path:
    """A run whose samples are sound with its spectrograms, then sound alone, a film, a table and a text."""
    shutil.rmtree(folder / "samples")
    (folder / "samples").mkdir()
    tones = numpy.sin(numpy.arange(4_000) * numpy.array([0.3, 0.6])[:, None])[:, None]
    sounds = Spec("audio", (1, 4_000), encoding={"rate_hz": 8_000})
    film = Spec("video", (1, 3, 8, 8), encoding={"frames_per_second": 5})
    table = Spec("table", (2,), encoding={"columns": ["age", HOSTILE]})
    frames = numpy.array([0, 100, 200], numpy.uint8).repeat(64).reshape(1, 3, 8, 8, 1)
    rows = [[age, f"<b>{age}</b>"] for age in range(150)]
    for step, suffix, decoded, spec in (
        (1, ".png", tones, sounds),
        (1, ".wav", tones, sounds),
        (2, ".wav", tones[:1], sounds),
        (3, ".gif", frames, film),
        (4, ".csv", rows, table),
    ):
        samples.write(folder / "samples" / f"step-{step:08d}{suffix}", decoded, spec)
    (folder / "samples" / "step-00000005.txt").write_text("to be or not\n")
    return folder


def test_sound_stands_with_its_picture_and_tables_as_rows(folder):
    found = {sample["step"]: sample for sample in data(read(with_media(folder)))["samples"]}
    assert [found[step]["form"] for step in (1, 2, 3, 4)] == ["picture", "sound", "picture", "table"]
    wave = (folder / "samples" / "step-00000001.wav").read_bytes()
    assert found[1]["sound"] == "data:audio/wav;base64," + base64.b64encode(wave).decode()
    assert found[1]["body"].startswith("data:image/png;base64,")
    assert found[3]["body"].startswith("data:image/gif;base64,")
    assert "sound" not in found[3]
    assert found[4]["body"][:2] == [["age", HOSTILE], ["0", "<b>0</b>"]]
    assert len(found[4]["body"]) == 101 and found[4]["cut"]


@pytest.mark.parametrize("last", [1, 2, 3, 4, 5])
def test_each_form_is_in_the_page_without_a_script_too(browser, folder, tmp_path, last):
    for path in with_media(folder).glob("samples/*"):
        if not path.name.startswith(f"step-0000000{last}"):
            path.unlink()
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(write(Run.open(folder), tmp_path / "page.html").as_uri())
    parts = {name: tab.locator(f"#sample {name}").is_visible() for name in ("img", "audio", "pre", ".rows")}
    shown = {1: ["img", "audio"], 2: ["audio"], 3: ["img"], 4: [".rows"], 5: ["pre"]}[last]
    assert [name for name, visible in parts.items() if visible] == shown
    if last == 4:
        assert tab.get_by_role("columnheader", name="age").is_visible()
        assert tab.locator("#sample td").count() == 200
        assert tab.get_by_text("These are the first rows").is_visible()
    context.close()


def test_sound_and_films_play_and_the_slider_turns_through_every_form(look, folder):
    tab = look(with_media(folder))
    sound, image, table, text = (tab.locator(f"#sample {name}") for name in ("audio", "img", ".rows", "pre"))
    assert text.inner_text().strip() == "to be or not"
    assert not sound.is_visible() and not image.is_visible() and not table.is_visible()
    earlier = tab.get_by_role("button", name="Earlier samples")
    earlier.click()
    assert table.is_visible() and not text.is_visible()
    assert tab.locator("#sample tbody tr").first.locator("td").all_inner_texts() == ["0", "<b>0</b>"]
    assert tab.locator("#sample th").all_inner_texts() == ["age", HOSTILE]
    earlier.click()
    assert image.is_visible() and not table.is_visible() and not sound.is_visible()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 8
    earlier.click()
    assert sound.is_visible() and not image.is_visible()
    assert duration(tab) == pytest.approx(0.5, abs=0.01)
    earlier.click()
    assert sound.is_visible() and image.is_visible()
    assert duration(tab) == pytest.approx(0.5 + 0.1 + 0.5, abs=0.01)
    assert sound.get_attribute("aria-label") == "Samples after step 1, one after the other"
    ended = "new Promise((done) => { sound.onended = () => done(sound.currentTime); sound.play(); })"
    assert sound.evaluate(f"sound => {{ sound.muted = true; return {ended}; }}") == pytest.approx(1.1, abs=0.05)


def duration(tab) -> float:
    """Seconds of the sound that is shown, once the browser has read its header."""
    loaded = "new Promise((done) => { sound.onloadedmetadata = () => done(sound.duration); })"
    return tab.locator("#sample audio").evaluate(f"sound => sound.readyState ? sound.duration : {loaded}")
