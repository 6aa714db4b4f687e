"""What a model commits to when it is taken for a brain: which areas are which region, which steps which time bin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ventralstream.errors import VentralError, unknown
from ventralstream.models.registry import list_models, model_entry
from ventralstream.spec import NetworkSpec

if TYPE_CHECKING:
    from ventralstream.assembly import TimeBins

Regions: TypeAlias = Mapping[str, tuple[str, ...]]
"""The areas of each region, by the region's name."""


def regions_of_sites(sites: Mapping[str, str]) -> Regions:
    """The areas of each recording site; where sites are parts of IT ("pIT", "cIT/aIT"), all of them are "IT" too.

    Brain-Score records IT as one region, so that it is all areas assigned to a part of it (our choice).

    Args:
        sites: The site of each area, as in `ventralstream.published.Published`.
    """
    regions: dict[str, tuple[str, ...]] = {}
    for area, site in sites.items():
        inferior = site.endswith("IT") and site != "IT"
        for region in (site, "IT") if inferior else (site,):
            regions[region] = (*regions.get(region, ()), area)
    return regions


def published_regions(spec: NetworkSpec) -> Regions:
    """The regions that the authors of a registered model assign its areas to.

    Raises:
        VentralError: Nobody has.
    """
    published = model_entry(spec.name).published if spec.name in list_models() else None
    if published is None or not published.sites:
        raise VentralError(
            f"nobody has published which areas of '{spec.name}' are which region; give regions, as in"
            f" regions={{'IT': '{spec.areas[0].name}'}} (its areas are {', '.join(a.name for a in spec.areas)})"
        )
    return regions_of_sites(published.sites)


def commit(regions: Mapping[str, str | Sequence[str]], areas: Iterable[str]) -> Regions:
    """Checks a mapping of regions to areas of a model.

    Args:
        regions: One area or several for each region; an area may belong to several regions.
        areas: The model's areas.

    Raises:
        VentralError: There is no region, or one without areas, or an unknown area or the same one twice.
    """
    known = tuple(areas)
    committed = {name: (of,) if isinstance(of, str) else tuple(of) for name, of in regions.items()}
    if not committed:
        raise VentralError("a model needs at least one region, as in regions={'IT': 'conv5'}")
    for region, names in committed.items():
        if not names:
            raise VentralError(f"region '{region}' has no area; expected one or several")
        for name in names:
            if name not in known:
                raise unknown("area", name, known, f" for region '{region}'")
            if names.count(name) > 1:
                raise VentralError(f"region '{region}' has area '{name}' twice")
    return committed


def step_weights(
    time_bins_ms: TimeBins, steps: range, dt_ms: float, start_ms: float = 0.0, area: str = ""
) -> NDArray[np.float64]:
    """How much each step counts in each time bin: step t lasts from start_ms + t * dt_ms to start_ms + (t + 1) * dt_ms.

    A bin is what happens during it: the mean over its steps, weighted by how long they are in it (our choice; the same
    as `align_time`'s "within" where bins begin and end with steps).

    Args:
        time_bins_ms: Start and end of each bin, in ms from stimulus onset.
        steps: The steps there are.
        dt_ms: How long each is.
        start_ms: When step 0 begins.
        area: Whose steps they are, for the error.

    Returns:
        [bin, step]; rows sum to 1.

    Raises:
        VentralError: There is no bin, one is not a pair of times, or the steps do not cover it from start to end.
    """
    wanted = [tuple(map(float, edges)) for edges in time_bins_ms]
    if not wanted:
        raise VentralError("there are no time bins to record; expected pairs of start and end in ms")
    starts = start_ms + dt_ms * np.arange(steps.start, steps.stop)
    weights = np.zeros((len(wanted), len(starts)))
    for row, edges in zip(weights, wanted, strict=True):
        if len(edges) != 2 or not edges[1] > edges[0]:
            raise VentralError(f"a time bin is its start and a later end in ms; got {edges}")
        start, end = edges
        within = np.minimum(end, starts + dt_ms) - np.maximum(start, starts)
        within[within < 1e-6] = 0  # rounding
        if abs(within.sum() - (end - start)) > 1e-6:
            first, last = start_ms + steps.start * dt_ms, start_ms + steps.stop * dt_ms
            raise VentralError(
                f"the model has no step for all of the time bin {start:g} to {end:g} ms: the steps of"
                f" {f'area {area!r}' if area else 'the model'} last from {first:g} to {last:g} ms;"
                " change the steps run, or the delay"
            )
        row[:] = within / within.sum()
    return weights
