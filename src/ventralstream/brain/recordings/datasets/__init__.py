"""Published recordings and behaviour: sets that lie in a folder, and those that Brain-Score distributes.

The sets are other people's and not part of this package. A function takes the folder they lie in (`root`, by
default the one that VENTRALSTREAM_DATA names), and says where to get a set that is not there.
"""

from ventralstream.brain.recordings.datasets.brainscore import (
    SETS,
    BrainScoreSet,
    download,
    load,
    monkey_solution_times,
)
from ventralstream.brain.recordings.datasets.it import macaque_it
from ventralstream.brain.recordings.datasets.kar import image_metrics, image_metrics_images, is_image_metrics
from ventralstream.brain.recordings.datasets.objects92 import Kriegeskorte92, kriegeskorte92
from ventralstream.brain.recordings.datasets.occlusion import human_occlusion, human_occlusion_images
from ventralstream.brain.recordings.datasets.speed_accuracy import human_speed_accuracy
from ventralstream.brain.recordings.datasets.v4 import macaque_v4, macaque_v4_images, macaque_v4_sessions

__all__ = [
    "SETS",
    "BrainScoreSet",
    "Kriegeskorte92",
    "download",
    "human_occlusion",
    "human_occlusion_images",
    "human_speed_accuracy",
    "image_metrics",
    "image_metrics_images",
    "is_image_metrics",
    "kriegeskorte92",
    "load",
    "macaque_it",
    "macaque_v4",
    "macaque_v4_images",
    "macaque_v4_sessions",
    "monkey_solution_times",
]
