"""Published weights of others, in their own formats: TensorFlow, CORnet, torchvision."""

from ventralstream.published.convrnn import load_convrnn
from ventralstream.published.cornet import load_cornet
from ventralstream.published.resnet import load_resnet
from ventralstream.published.tf_checkpoint import read_tf_checkpoint

__all__ = ["load_convrnn", "load_cornet", "load_resnet", "read_tf_checkpoint"]
