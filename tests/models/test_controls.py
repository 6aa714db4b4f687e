"""Controls: ResNets equal torchvision's, and feedforward networks matched in parameters."""

from __future__ import annotations

import pytest
import torch
import torchvision

import ventralstream as vs
from ventralstream.models import count_parameters, model_spec
from ventralstream.models.feedforward import match_depth, match_width
from ventralstream.published import load_resnet


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_resnets_equal_torchvisions(name: str) -> None:
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, name)(num_classes=10)
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.normal_(module.weight, 1, 0.1)
    net = vs.create_model(name, num_classes=10)
    load_resnet(net, theirs.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs.eval()(x)
        torch.testing.assert_close(net.eval()(x).output, expected, rtol=1e-4, atol=1e-4 * expected.std().item())
    assert sum(p.numel() for p in net.parameters()) == sum(p.numel() for p in theirs.parameters())
    stages = net(x, record=vs.Record("layer4_2"))["layer4_2"].values
    assert stages.shape == (2, 1, 512, 2, 2)


def test_loading_is_strict() -> None:
    state = torchvision.models.resnet18(num_classes=10).state_dict()
    net = vs.create_model("resnet18", num_classes=10)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    state["extra"] = state.pop("fc.bias")
    state["conv1.weight"] = state["conv1.weight"][:, :1]
    with pytest.raises(vs.VentralError) as caught:
        load_resnet(net, state)
    for part in ("1 missing (fc.bias)", "1 left over (extra)", "conv1.weight [64, 1, 7, 7], expected [64, 3, 7, 7]"):
        assert part in str(caught.value)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_matched_in_parameters() -> None:
    target = count_parameters(model_spec("rgc_intermediate"))
    wider = match_width(lambda w: model_spec("ff_intermediate", width=w), target)
    assert abs(wider.error) < 0.01
    assert wider.parameters == count_parameters(wider.spec)
    deeper = match_depth(lambda d: model_spec("ff_deep", depth=d), target)
    counts = [count_parameters(model_spec("ff_deep", depth=d)) for d in (1, 2, 3, 4)]
    nearest = min(range(4), key=lambda i: abs(counts[i] - target))
    assert deeper.size == nearest + 1
    assert deeper.error == pytest.approx(counts[nearest] / target - 1)
