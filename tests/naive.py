"""The oracle: every area at every step, for the whole batch, in a double loop. It shares no code with the planner."""

from __future__ import annotations

import torch

from ventralstream.area import Run
from ventralstream.spec import IMAGE, drive_inputs, feedback_inputs


def unroll(net, frames, start=0, past=None, added=None):
    """(outputs {(area, step): tensor}, states {(area, step): tensors}); `past` is such a pair to carry on from.

    What `added` has at an (area, step) is added to that output, for gradients with respect to it.
    """
    added = added or {}
    spec, batch = net.spec, frames[0].shape[0]
    run = Run(net.shapes(*frames[0].shape[-2:]), frames[0])
    outputs, states = past or ({}, {})
    outputs = {**outputs, **{(IMAGE, start + t): x for t, x in enumerate(frames)}}
    states = dict(states)

    def arriving(i, c, t, count):
        if not c.arrives_at(count):
            return None
        x = outputs.get((c.source, t - c.delay))
        if x is None:
            if spec.before_start == "silent":
                return None
            x = frames[0].new_zeros(batch, *run.shapes.output[c.source])
        return net.transitions[str(i)].transit(t - spec.first_arrival(c), x) if c.layers else x

    for t in range(start, start + len(frames)):
        for name in spec.order():
            area, module = spec.area(name), net.areas[name]
            if t < area.start:
                continue
            if not area.active(t):
                outputs[name, t] = outputs[name, t - 1] + added.get((name, t), 0)
                continue
            count = t - area.start
            arrived = [arriving(i, c, t, count) for i, c in drive_inputs(spec, name)]
            returned = [arriving(i, c, t, count) for i, c in feedback_inputs(spec, name)]
            feedback = module.feedback(count, run, *returned) if any(x is not None for x in returned) else None
            into_drive = [feedback] if area.cell and area.cell.feedback_entry == "drive" else []
            drive = module.drive(count, run, *arrived, *into_drive)
            parts, raw = drive
            last = parts
            if area.cell:
                state = states.get((name, t - 1))
                if count == 0:
                    state = module.cell.init_state(batch, run.shapes.drive[name], frames[0])
                last, states[name, t] = module.update(count, parts, None if into_drive else feedback, state)
            output = module.output(count, last, raw).expand(batch, *run.shapes.output[name])
            outputs[name, t] = output + added.get((name, t), 0)
    return outputs, states


def frames_of(net, presentation, stimulus, steps):
    """The frames as full tensors."""
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
