"""What every process that makes textures does first."""

import warnings

import cv2

from texneg.synth.texture import warm_up


def prepare_process() -> None:
    """One OpenCV thread, no warnings about odd files (the manifest has their status), kernel compiled."""
    cv2.setNumThreads(1)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    warm_up()
