"""The report of a demo: one HTML file, made of what was measured."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ventralstream.cost import cost
from ventralstream.demo.experiment import CLUTTER, FEEDFORWARD, MINIMAL, NETWORKS, RECURRENT, Run
from ventralstream.demo.metrics import HEADLINES
from ventralstream.demo.output import EXPLORER_FILE
from ventralstream.report import figures, page
from ventralstream.report.figures import Curve, Difference, Style
from ventralstream.report.unroll import MEANING, fate_swatch, unroll

STYLES: dict[str, Style] = {RECURRENT: 1, MINIMAL: 2, FEEDFORWARD: 3}
TITLES = {RECURRENT: "Recurrent", MINIMAL: "Minimal unroll", FEEDFORWARD: "Feedforward"}
DIGITS = tuple("0123456789")
_RESCUED, _LOST = 4, 2  # examples whose answer became right, and wrong


def report(run: Run, measured: dict[str, Any]) -> str:
    """The whole page.

    Args:
        run: The run.
        measured: Its `metrics`.
    """
    title = HEADLINES[measured["verdict"]["answer"]]
    in_time = f'<p>The recurrent network step by step, to be played: <a href="{EXPLORER_FILE}">{EXPLORER_FILE}</a>.</p>'
    return page.page(
        f"{title} · ventralstream demo",
        _opening(run, measured),
        _over_time(run, measured),
        _early_exit(run, measured),
        _networks(measured),
        _examples(run, measured),
        in_time,
        _confusions(measured),
        _unrolled(run, measured),
        _method(run, measured),
    )


def _opening(run: Run, measured: dict[str, Any]) -> str:
    found, s = measured["verdict"], run.settings
    headline = HEADLINES[found["answer"]]
    note = page.paragraph(
        "This is a quick run: tiny networks, a few updates, few scenes. It shows that everything works; its"
        " numbers"
        " say nothing about recurrence. Leave out --quick for the real one.",
        "note",
    )
    bounds = [abs(b) for c in found["comparisons"] for d in (c, *c["per_clutter"]) for b in d["ci95"]]
    reach = max(0.01, *bounds)
    plots = []
    for c in found["comparisons"]:
        rows = [_difference("all scenes", c, strong=True)]
        rows += [_difference(f"clutter {d['clutter']}", d) for d in c["per_clutter"]]
        name = TITLES[c["control"]].lower()
        plots.append(
            page.heading(f"Recurrent compared with {name}", 3)
            + figures.differences(rows, 1.05 * reach, STYLES[c["control"]], (f"{name} better", "recurrent better"))
        )
    return (
        page.paragraph(f"ventralstream demo · seed {s.seed} · {measured['time'][:10]}", "over")
        + page.heading(headline + ".", 1)
        + (note if s.quick else "")
        + page.paragraph(
            "Three small networks learned to name handwritten digits in cluttered scenes that hide a part of them."
            f" {found['sentence'].removeprefix(headline + ': ').capitalize()}",
            "lead",
        )
        + page.figure(
            page.panels(plots, 380),
            "Difference in accuracy between the recurrent network's last answers and each control's, with 95"
            " %"
            " intervals from a paired bootstrap over the same scenes. The verdict rests on the two rows in"
            " bold.",
        )
    )


def _early_exit(run: Run, measured: dict[str, Any]) -> str:
    found = measured["early_exit"]
    headline, rest = found["sentence"].split(": ", 1)
    reach = max(0.01, 1.2 * max(map(abs, found["ci95"])))
    shares = found["share_per_step"]
    dt_ms = measured["networks"][RECURRENT]["dt_ms"]
    rows = [
        [f"Clutter {level}", f"{time:.0f} ms"]
        for level, time in zip(CLUTTER, found["mean_time_ms_per_clutter"], strict=True)
    ]
    when = ", ".join(f"{100 * share:.0f} % at {int(step) * dt_ms:g} ms" for step, share in shares.items())
    return (
        page.heading("Does it pay to give each scene the time it needs?")
        + page.paragraph(
            "Asked before the first run: the recurrent network may answer a scene as soon as it is"
            f" {found['threshold']:.0%} sure. Is that better than answering every scene after the same time?"
        )
        + page.paragraph(f"{headline}. {rest[0].upper()}{rest[1:]}")
        + page.figure(
            page.panels(
                [
                    figures.differences(
                        [_difference("all scenes", found, strong=True)],
                        reach,
                        STYLES[RECURRENT],
                        ("the same time better", "early exit better"),
                    ),
                    page.table(["Scenes", "Mean time to the answer"], rows),
                ],
                380,
            ),
            "Left: difference in accuracy, with its 95 % interval. Right: how long the network took."
            f" Answers came: {when}.",
        )
    )


def _difference(name: str, found: dict[str, Any], strong: bool = False) -> Difference:
    low, high = found["ci95"]
    return Difference(name, found["difference"], low, high, strong)


def _over_time(run: Run, measured: dict[str, Any]) -> str:
    rows = measured["accuracy"]
    levels = CLUTTER
    spans = figures.panels_span([[b for r in rows if r["clutter"] == level for b in r["ci95"]] for level in levels])
    times = [r["time_ms"] for r in rows]
    items = []
    for i, (level, span) in enumerate(zip(levels, spans, strict=True)):
        series = [
            Curve(
                TITLES[name],
                STYLES[name],
                [r["time_ms"] for r in here],
                [r["accuracy"] for r in here],
                [r["ci95"][0] for r in here],
                [r["ci95"][1] for r in here],
                holds=name == FEEDFORWARD,
            )
            for name in NETWORKS
            for here in [[r for r in rows if (r["network"], r["clutter"]) == (name, level)]]
        ]
        scenes = "".join(
            page.image(run.scenes[i].images[n, 0].numpy(), f"a {run.scenes[i].labels[n]} in clutter {level}")
            for n in range(4)
        )
        items.append(
            page.heading(f"Clutter {level}", 3)
            + f'<div class="strip">{scenes}</div>'
            + figures.curves(series, (min(times), max(times)), span)
        )
    key = [(figures.swatch(STYLES[name]), _network_phrase(name, measured)) for name in NETWORKS]
    return (
        page.heading("Accuracy over time")
        + page.paragraph(
            "The task: name the large digit around the centre. Each level of clutter adds two fragments of"
            " other digits"
            " behind it and one in front, which hides a part of it. The image stays on; every connection"
            " takes"
            f" {measured['networks'][RECURRENT]['dt_ms']:g} ms, so the first answers come after"
            f" {measured['networks'][RECURRENT]['first_answer_step']} steps. Every network was trained to answer at"
            " each step that the image drives, so an early answer is the best that it can do by then."
        )
        + page.figure(
            page.legend(key) + page.panels(items, 400),
            f"Correct answers to {run.settings.test_scenes:,} held-out scenes at each level, with 95 %"
            " intervals"
            " (Wilson). The panels have the same scale, but begin at different accuracies. The feedforward"
            " network has one"
            " answer, which does not change any more (dotted).",
        )
    )


def _network_phrase(name: str, measured: dict[str, Any]) -> str:
    steps = measured["networks"][name]["steps"]
    return f"{TITLES[name]} ({steps} steps)"


def _networks(measured: dict[str, Any]) -> str:
    rows: list[list[str | tuple[str, str]]] = []
    levels = CLUTTER
    for name in NETWORKS:
        facts = measured["networks"][name]
        last = {r["clutter"]: r for r in measured["accuracy"] if r["network"] == name}  # the last step's stays
        rows.append(
            [
                (TITLES[name], f"channels {', '.join(map(str, facts['channels']))}"),
                _percent(facts),
                *(_percent(last[level]) for level in levels),
                (str(facts["steps"]), f"{facts['dt_ms'] * (facts['steps'] - 1):g} ms"),
                f"{facts['parameters']:,}",
                f"{facts['flops_planned'] / 1e6:.1f}",
            ]
        )
    header = ["Network", "All scenes", *(f"Clutter {c}" for c in levels), "Steps", "Parameters", "MFLOP per image"]
    return (
        page.heading("The three networks")
        + page.paragraph(
            "The first two are one and the same architecture: five convolutional areas, a Reciprocal Gated"
            " Cell in each of"
            " conv3, conv4 and conv5, and a decoder. The minimal unroll is trained and tested with the"
            " fewest steps in which"
            " every recurrent path works once; it tells whether time helps. The feedforward network has no"
            " cells, and more"
            " channels instead, so that it has about as many parameters; it tells whether cells are the better use"
            " of them."
        )
        + page.figure(
            page.table(header, rows),
            "Correct answers at the last step in percent, with 95 % intervals below. All three saw the same"
            " scenes in the"
            " same order, with the same optimiser.",
        )
    )


def _percent(row: dict[str, Any]) -> tuple[str, str]:
    low, high = row["ci95"]
    return f"{100 * row['accuracy']:.1f}", f"{100 * low:.1f} to {100 * high:.1f}"


def pick_examples(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> list[tuple[int, int]]:
    """The scenes whose answer changed most, as (level, scene): four at most became right, two wrong.

    Args:
        probabilities: [L, N, T', 10].
        labels: [L, N].
    """
    right = probabilities.argmax(-1) == labels[..., None]
    of_truth = np.take_along_axis(probabilities, labels[..., None, None], -1)[..., 0]
    gain = of_truth[..., -1] - of_truth[..., 0]
    picked: list[tuple[int, int]] = []
    for changed, size, most in (
        (~right[..., 0] & right[..., -1], gain, _RESCUED),
        (right[..., 0] & ~right[..., -1], -gain, _LOST),
    ):
        order = np.argsort(-np.where(changed, size, -np.inf), axis=None, kind="stable")
        found = [np.unravel_index(k, changed.shape) for k in order[: int(changed.sum())]]
        seen: set[int] = set()  # a scene only once, at one level of clutter
        for level, scene in ((int(a), int(b)) for a, b in found):
            if scene not in seen and len(seen) < most:
                seen.add(scene)
                picked.append((level, scene))
    return picked


def _examples(run: Run, measured: dict[str, Any]) -> str:
    p, labels = run.probabilities[RECURRENT], run.labels()
    times = [step * run.networks[RECURRENT].spec.dt_ms for step in run.steps(RECURRENT)]
    items = []
    for level, n in pick_examples(p, labels):
        truth = int(labels[level, n])
        became = "right" if p[level, n, -1].argmax() == truth else "wrong"
        picture = page.image(run.scenes[level].images[n, 0].numpy(), f"a {truth} in clutter", zoom=3)
        words = page.heading(f"A {truth}, clutter {CLUTTER[level]}", 3) + page.paragraph(
            f"The answer became {became}.", "small"
        )
        items.append(
            f'<div class="beside">{picture}<div>{words}</div></div>'
            + figures.probabilities(times, p[level, n], truth, DIGITS)
        )
    c = measured["answer_changes"][RECURRENT]
    share = 100 * (c["wrong_to_right"] + c["right_to_wrong"]) / c["scenes"]
    return (
        page.heading("How the recurrent network's answer changes")
        + page.paragraph(
            f"Between its first and its last step the recurrent network put {c['wrong_to_right']:,} wrong"
            " answers right and"
            f" {c['right_to_wrong']:,} right ones wrong, in all {share:.1f} % of {c['scenes']:,} scenes."
            " Shown are those in which the probability of the right digit changed most."
        )
        + page.figure(
            page.panels(items, 270),
            "Probability of each digit over time: the right one (green, solid), its strongest rival (orange,"
            " dashed), the"
            " others (grey). Above: the answer at each step, filled where it is right.",
        )
    )


def _confusions(measured: dict[str, Any]) -> str:
    counts = {which: np.array(n) for which, n in measured["confusion"][RECURRENT].items()}
    wrong = [n / n.sum(1, keepdims=True) * (1 - np.eye(10)) for n in counts.values()]
    darkest = max(0.02, float(np.max(wrong)))
    facts = measured["networks"][RECURRENT]
    steps = {"first": facts["first_answer_step"], "last": facts["steps"] - 1}
    items = [
        page.heading(f"{which.capitalize()} answer, at {steps[which] * facts['dt_ms']:g} ms", 3)
        + figures.confusion(n, DIGITS, darkest)
        for which, n in counts.items()
    ]
    return page.heading("What is taken for what") + page.figure(
        page.panels(items, 320),
        "The recurrent network's answers to all scenes, in percent of the scenes that show each digit"
        " (rows). Grey: right;"
        " orange: wrong, the darker the more often.",
    )


def _unrolled(run: Run, measured: dict[str, Any]) -> str:
    spec, facts = run.networks[RECURRENT].spec, measured["networks"][RECURRENT]
    program = cost(spec)[1]
    present = [fate for fate in MEANING if program.count(fate)]
    return (
        page.heading("What is computed, and what is not")
        + page.paragraph(
            f"For the recurrent network's last answer, a naive unroll evaluates {facts['area_steps_naive']}"
            f" area-steps ({facts['flops_naive'] / 1e6:.1f} MFLOP an image). ventralstream gets the same numbers"
            f" from {facts['area_steps_planned']} of them ({facts['flops_planned'] / 1e6:.1f} MFLOP), of which"
            f" {program.count('batch-free')} are evaluated only once for all images: nothing of the image has"
            " reached those areas yet."
        )
        + page.figure(
            page.legend((fate_swatch(fate), MEANING[fate]) for fate in present)
            + page.wide(unroll(spec, program.fates)),
            "Areas by steps. Lines show what an area reads: grey the area below, one step earlier; blue its"
            " own cell's state.",
        )
    )


def _method(run: Run, measured: dict[str, Any]) -> str:
    s, seconds = run.settings, measured["seconds"]
    trained = ", ".join(f"{TITLES[name].lower()} {seconds[name]:.0f} s" for name in NETWORKS)
    packages = ", ".join(f"{name} {v}" for name, v in measured["packages"].items() if v)
    scenes = (
        "scikit-learn's handwritten digits (1,797 scans of 8 x 8 pixels) set into 32 x 32 pixels. Test scenes"
        " are made of scans that no training scene is made of."
    )
    training = (
        f"{s.epochs} passes through {s.training_scenes:,} scenes of clutter {', '.join(map(str, CLUTTER))}, shifted"
        f" anew each time, {s.batch_size} in an update; AdamW, learning rate up to {s.lr:g} (a rise, then a cosine),"
        f" weight decay {s.weight_decay:g}. The loss is the cross-entropy of the answer at each step that the image"
        " drives, averaged over these steps."
    )
    limits = (
        "One training run per network: the intervals tell what other scenes would change, not what other"
        " starting weights would. Try another --seed."
    )
    versions = f"ventralstream {measured['ventralstream']}, Python {measured['python']}, {packages}"
    rows = [
        ("Scenes", scenes),
        ("Training", training),
        ("Verdict", measured["verdict"]["rule"]),
        ("Early exit", measured["early_exit"]["rule"]),
        ("Limits", limits),
        ("Time", f"{seconds['total']:.0f} s; training: {trained}; {measured['torch_threads']} threads."),
        ("Versions", versions),
        ("Machine", measured["machine"]),
        ("Command", " ".join(["ventral", *measured["command"][1:]])),
    ]
    files = "All numbers are in metrics.json beside this file, the trained networks in networks/."
    return page.heading("How this was done") + page.definitions(rows) + page.paragraph(files, "small")
