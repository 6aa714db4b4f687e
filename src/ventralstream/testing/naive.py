"""The oracle: every area at every step, for the whole batch, in a double loop. It shares no code with the planner.

Each call of a stage gets copies of its arguments, so what it overwrites is nobody else's.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from ventralstream.area import Run
from ventralstream.network import Network
from ventralstream.presentation import Presentation
from ventralstream.purity import mapped
from ventralstream.spec import IMAGE, Connection, drive_inputs, feedback_inputs

Outputs: TypeAlias = dict[tuple[str, int], Tensor]
States: TypeAlias = dict[tuple[str, int], tuple[Tensor, ...]]


def unroll(
    net: Network,
    frames: list[Tensor],
    start: int = 0,
    past: tuple[Outputs, States] | None = None,
    added: Outputs | None = None,
) -> tuple[Outputs, States]:
    """Evaluates every area at every step.

    Args:
        net: The network.
        frames: What is shown at each step [B, C, H, W]; see `frames_of`.
        start: The first of these steps.
        past: What this function gave for the steps before, to carry on from.
        added: What is added to the output of an (area, step), for gradients with respect to it.

    Returns:
        Outputs by (area, step), and states.
    """
    added = added or {}
    spec, batch = net.spec, frames[0].shape[0]
    run = Run(net.shapes(*frames[0].shape[-2:]), frames[0], batch)
    outputs, states = past or ({}, {})
    outputs = {**outputs, **{(IMAGE, start + t): x for t, x in enumerate(frames)}}
    states = dict(states)

    def arriving(i: int, c: Connection, t: int, count: int) -> Tensor | None:
        if not c.arrives_at(count):
            return None
        x = outputs.get((c.source, t - c.delay))
        if x is None:
            if spec.before_start == "silent":
                return None
            x = frames[0].new_zeros(batch, *run.shapes.output[c.source])
        if not c.layers:
            return x
        arrived: Tensor = net.transitions[str(i)](t - spec.first_arrival(c), x.clone())
        return arrived

    for t in range(start, start + len(frames)):
        for name in spec.order():
            area, module = spec.area(name), net.areas[name]
            if t < area.start:
                continue
            if not area.active(t):
                outputs[name, t] = outputs[name, t - 1] + added.get((name, t), 0)
                continue
            count = t - area.start
            arrived = mapped(torch.clone, [arriving(i, c, t, count) for i, c in drive_inputs(spec, name)])
            returned = mapped(torch.clone, [arriving(i, c, t, count) for i, c in feedback_inputs(spec, name)])
            feedback = module.feedback(count, run, *returned) if any(x is not None for x in returned) else None
            into_drive = [feedback] if area.cell and area.cell.feedback_entry == "drive" else []
            drive = module.drive(count, run, *arrived, *mapped(torch.clone, into_drive))
            last, raw = mapped(torch.clone, drive)
            if area.cell:
                state = states.get((name, t - 1))
                if count == 0:
                    state = module.cell.init_state(batch, run.shapes.drive[name], frames[0])
                given = mapped(torch.clone, (last, None if into_drive else feedback, state))
                last, states[name, t] = module.update(count, *given)
            output = module(count, *mapped(torch.clone, (last, raw)))
            outputs[name, t] = output.expand(batch, *run.shapes.output[name]) + added.get((name, t), 0)
    return outputs, states


def frames_of(
    net: Network, presentation: Presentation, stimulus: Tensor | dict[str, Tensor], steps: int
) -> list[Tensor]:
    """The frames that a presentation shows, as full tensors."""
    named = stimulus if isinstance(stimulus, dict) else {"movie" if presentation.is_movie else "image": stimulus}
    like = next(iter(named.values()))
    frames = []
    for t in range(steps):
        frame = presentation.frame(t)
        if frame.shows == "movie":
            frames.append(like[:, t])
        elif frame.shows == "blank":
            blank = torch.full_like(like, frame.value)
            if frame.space == "pixels":
                mean, std = (torch.tensor(v, dtype=like.dtype).view(1, -1, 1, 1) for v in (net.spec.mean, net.spec.std))
                blank = (blank - mean) / std
            frames.append(blank)
        else:
            frames.append(named[frame.shows])
    return frames
