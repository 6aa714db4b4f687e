"""Published weights of others: what their authors say of them, and their formats (TensorFlow, CORnet, torchvision)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ventralstream.published.about import Published as Published
    from ventralstream.published.about import PublishedFile as PublishedFile
    from ventralstream.published.convrnn import load_convrnn as load_convrnn
    from ventralstream.published.cornet import load_cornet as load_cornet
    from ventralstream.published.resnet import load_resnet as load_resnet
    from ventralstream.published.tf_checkpoint import read_tf_checkpoint as read_tf_checkpoint
else:
    from ventralstream.lazy import attach

    __getattr__, __dir__, __all__ = attach(__name__)
