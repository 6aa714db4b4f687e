"""The equations of the cells (A.3 and the like: sections of docs/papers.md) in plain torch.

Nothing of the library's cells and layers is used.

Each oracle is one step: (options, parameters, x, raw, feedback, state, step, training) to (output, new state). `x` is
what the drive's layers give, `raw` the area's own input, `feedback` what other areas send, None if nothing arrives.
Parameters are read by name; reading checks that there are exactly those of the options.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

sigmoid, tanh, relu = torch.sigmoid, torch.tanh, torch.relu
ACTIVATIONS = {
    "identity": lambda x: x,
    "relu": relu,
    "elu": lambda x: torch.where(x > 0, x, torch.exp(x.clamp(max=0)) - 1),
    "tanh": tanh,
    "sigmoid": sigmoid,
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "gelu": lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2,
}


class Parameters:
    """A cell's parameters and buffers, and which of them an oracle has read."""

    def __init__(self, cell):
        self.all = dict(cell.named_parameters()) | dict(cell.named_buffers())
        self.read = set()

    def __getitem__(self, name):
        self.read.add(name)
        return self.all[name]

    def __contains__(self, name):
        return name in self.all


def same(x, weight, bias=None, groups=1):
    """A convolution that keeps the size, the odd pixel of padding below and to the right (TensorFlow's SAME)."""
    before, after = (weight.shape[-1] - 1) // 2, weight.shape[-1] // 2
    return F.conv2d(F.pad(x, (before, after, before, after)), weight, bias, groups=groups)


def conv(p, name, x, kernel, bias=True, separable=False):
    """A convolution with parameters of that name; separable: one kernel a channel, then 1x1, one bias after both."""
    if separable:
        depthwise, name = p[f"{name}.depthwise.weight"], f"{name}.pointwise"
        assert depthwise.shape[1:] == (1, kernel, kernel) and f"{name}.weight" in p
        x = same(x, depthwise, groups=x.shape[1])
        kernel = 1
    elif f"{name}.conv.weight" in p:
        name = f"{name}.conv"
    assert p[f"{name}.weight"].shape[2:] == (kernel, kernel) and (f"{name}.bias" in p) == bias
    return same(x, p[f"{name}.weight"], p[f"{name}.bias"] if bias else None)


def joint(p, name, x, first, second):
    """Two convolutions of one tensor, (channels, options) each; where they are alike they are kept as one."""
    (n, of_first), (m, of_second) = first, second
    if f"{name}.convs.1.conv.weight" in p or f"{name}.convs.1.pointwise.weight" in p:
        a, b = conv(p, f"{name}.convs.0", x, **of_first), conv(p, f"{name}.convs.1", x, **of_second)
        assert (a.shape[1], b.shape[1]) == (n, m)
        return a, b
    assert of_first == of_second
    return conv(p, f"{name}.convs.0", x, **of_first).split((n, m), 1)


def normalise(x, dims, weight, bias, eps):
    mean, variance = x.mean(dims, keepdim=True), x.var(dims, keepdim=True, unbiased=False)
    return (x - mean) / (variance + eps).sqrt() * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)


def layer_norm(p, name, x):
    """Over channels and space together, gain and offset a channel."""
    return normalise(x, (1, 2, 3), p[f"{name}.norms.0.weight"], p[f"{name}.norms.0.bias"], 1e-12)


def group_norm(p, name, x, groups):
    y = x.reshape(len(x), groups, -1)
    y = (y - y.mean(2, keepdim=True)) / (y.var(2, keepdim=True, unbiased=False) + 1e-5).sqrt()
    weight, bias = p[f"{name}.norms.0.weight"], p[f"{name}.norms.0.bias"]
    return y.reshape(x.shape) * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)


def batch_norm(p, name, x, index, training):
    name = f"{name}.norms.{index}"
    mean, variance, weight, bias = (p[f"{name}.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
    if training:
        return normalise(x, (0, 2, 3), weight, bias, 1e-5)
    mean, variance, weight, bias = (v.view(1, -1, 1, 1) for v in (mean, variance, weight, bias))
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def decay(s, p, x, raw, feedback, state, step, training):
    """A.3: h' = tau h + x."""
    assert isinstance(p["tau"], torch.nn.Parameter) == s.trainable
    h = p["tau"] * state[0] + x
    return h, (h,)


def simple_rnn(s, p, x, raw, feedback, state, step, training):
    """A.3: h' = act(LN(W_s * h + b_s + W_i * x + b_i))."""
    total = conv(p, "from_state", state[0], s.kernel) + conv(p, "from_input", x, s.kernel)
    h = ACTIVATIONS[s.activation](layer_norm(p, "norm", total) if s.layer_norm else total)
    return h, (h,)


def gru(s, p, x, raw, feedback, state, step, training):
    """A.3: r, u = W_g * [x, h]; c = tanh(W_c * [x, r h]); h' = u h + (1 - u) c."""
    (h,) = state
    n = h.shape[1]
    of_x, bias = p["from_input.conv.weight"], p["from_input.conv.bias"]
    assert of_x.shape[0] == 3 * n and of_x.shape[2] == s.kernel
    gates = torch.cat([of_x[: 2 * n], p["from_state.conv.weight"]], 1)
    candidate = torch.cat([of_x[2 * n :], p["candidate.conv.weight"]], 1)
    r, u = same(torch.cat([x, h], 1), gates, bias[: 2 * n]).split(n, 1)
    r, u = sigmoid(r + s.forget_bias), sigmoid(u)
    c = tanh(same(torch.cat([x, r * h], 1), candidate, bias[2 * n :]))
    h = u * h + (1 - u) * c
    return h, (h,)


def of_both(s, p, x, h):
    """W * [x, h] + b."""
    weight = torch.cat([p["from_input.conv.weight"], p["from_state.conv.weight"]], 1)
    assert weight.shape[2] == s.kernel
    return same(torch.cat([x, h], 1), weight, p["from_input.conv.bias"])


def lstm(s, p, x, raw, feedback, state, step, training):
    """A.3: i, j, f, o = W * [x, h]; c' = sig(f + b + w_f c) c + sig(i + w_i c) tanh(j); h' = sig(o + w_o c) tanh c'."""
    c, h = state
    i, j, f, o = of_both(s, p, x, h).split(h.shape[1], 1)
    if s.layer_norm:
        i, j = layer_norm(p, "norms.input", i), layer_norm(p, "norms.transform", j)
        f, o = layer_norm(p, "norms.forget", f), layer_norm(p, "norms.output", o)
    w_i, w_f, w_o = p["peepholes"] if s.peepholes else (0, 0, 0)
    new = c * sigmoid(f + s.forget_bias + w_f * c) + sigmoid(i + w_i * c) * tanh(j)
    new = layer_norm(p, "norms.state", new) if s.layer_norm else new
    h = tanh(new) * sigmoid(o + w_o * c)
    return h, (new, h)


def ugrnn(s, p, x, raw, feedback, state, step, training):
    """A.3: g, c = W * [x, h]; h' = sig(g + 1) h + (1 - sig(g + 1)) tanh(c)."""
    (h,) = state
    g, c = of_both(s, p, x, h).split(h.shape[1], 1)
    g = sigmoid(g + s.forget_bias)
    h = g * h + (1 - g) * tanh(c)
    return h, (h,)


def intersection_rnn(s, p, x, raw, feedback, state, step, training):
    """A.3: gh, h, gy, y = W * [x, s]; state and output each keep their gate's share."""
    (past,) = state
    gh, h, gy, y = of_both(s, p, x, past).split(past.shape[1], 1)
    gh, gy = sigmoid(gh + s.forget_bias), sigmoid(gy + s.forget_bias)
    return gy * x + (1 - gy) * relu(y), (gh * past + (1 - gh) * tanh(h),)


def reciprocal(s, p, x, raw, feedback, state, step, training):
    """A.4, the general form."""
    c, h = state
    tau = {"kernel": s.tau_kernel, "bias": s.gate_bias, "separable": s.tau_separable}
    gate = {"kernel": s.gate_kernel, "bias": s.gate_bias, "separable": s.gate_separable}
    inner = {"kernel": s.input_kernel, "bias": s.input_bias, "separable": s.input_separable}
    to_out = {**inner, "kernel": s.to_out_kernel}
    f = None
    if feedback is not None:
        f = conv(p, "feedback_conv", feedback, s.feedback_kernel, separable=s.feedback_separable)
        f = ACTIVATIONS[s.feedback_activation](f)
    if f is not None and s.feedback_to == "input":
        x = x + f
    x = ACTIVATIONS[s.input_activation](x)

    n, m = c.shape[1], h.shape[1]
    tau_c, of_cell = joint(p, "from_cell", c, (n, tau), (m, to_out if s.cell_to_out else gate))
    tau_h, gate_c = joint(p, "from_out", h, (m, tau), (n, gate))

    into_cell = torch.zeros_like(c)
    if s.cell_residual:
        into_cell = into_cell + conv(p, "residual_to_cell", raw, **inner)
    if s.input_to_cell:
        into_cell = into_cell + conv(p, "input_to_cell", x, **inner)
    if f is not None and s.feedback_to == "cell":
        into_cell = into_cell + f

    into_out = conv(p, "input_to_out", x, **to_out) if s.input_to_out else x
    if s.cell_to_out:
        into_out = into_out + of_cell
    if s.out_residual:
        alike = raw.shape[1] == m
        into_out = into_out + (raw if alike else conv(p, "residual_to_out", raw, 1, bias=False))
    if f is not None and s.feedback_to == "out":
        into_out = into_out + f

    gate_h = torch.zeros_like(h)
    if not s.cell_to_out:
        gate_h = gate_h + of_cell
    if s.residual_to_out_gate:
        gate_h = gate_h + conv(p, "residual_to_gate", raw, **{**gate, "bias": False})

    def next_of(past, tau, entering, gate, norm, activation):
        tau = s.tau_offset + s.tau_multiplier * ACTIVATIONS[s.tau_activation](tau)
        gate = s.gate_offset + s.gate_multiplier * ACTIVATIONS[s.gate_activation](gate)
        new = tau * past + gate * entering
        return ACTIVATIONS[activation](layer_norm(p, norm, new) if s.layer_norm else new)

    c = next_of(c, tau_c, into_cell, gate_c, "cell_norm", s.cell_activation)
    h = next_of(h, tau_h, into_out, gate_h, "out_norm", s.out_activation)
    return h, (c, h)


def cornet_r(s, p, x, raw, feedback, state, step, training):
    """B.1: state = ReLU(GN(conv(x + state)))."""
    weight = p["conv.conv.weight"]
    assert weight.shape[2] == s.kernel
    y = F.conv2d(x + state[0], weight, padding=s.kernel // 2)
    h = relu(group_norm(p, "norm", y, s.groups))
    return h, (h,)


def cornet_s(s, p, x, raw, feedback, state, step, training):
    """B.1, and the variants of B.7 (where the loop closes, and what the soft gate lets in, is the library's choice)."""
    first, index = step == 0, min(step, s.times - 1)

    def norm(name, y, per_step=True):
        if s.norm == "group":
            return group_norm(p, name, y, 32)
        return batch_norm(p, name, y, index if per_step else 0, training)

    def projected(y):
        return norm("skip_norm", F.conv2d(y, p["skip.conv.weight"], stride=s.stride), per_step=False)

    y = x if first else state[0]
    if s.gate == "soft" and not first:
        entering = projected(x)
        y = y + sigmoid(entering + y) * entering
    skip = (projected(y) if first else y) if s.skip else 0
    if s.loop_to == 2 and not first:
        y = F.conv2d(y, p["rejoin.conv.weight"])
    elif s.first_conv:
        y = relu(norm("norm1", F.conv2d(y, p["conv1.conv.weight"]), per_step=s.loop_to == 1))
    weight = p["conv2.conv.weight"]
    assert weight.shape[0] == s.scale * x.shape[1]
    y = relu(norm("norm2", F.conv2d(y, weight, stride=s.stride if first else 1, padding=1)))
    y = norm("norm3", F.conv2d(y, p["conv3.conv.weight"]))
    h = relu(y + skip)
    return h, (h,)


ORACLES = {
    f.__name__: f for f in (decay, simple_rnn, gru, lstm, ugrnn, intersection_rnn, reciprocal, cornet_r, cornet_s)
}
