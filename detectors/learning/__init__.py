"""Learning: what a model version without a reference has seen so far, and the reference that is made of it."""

from detectors.learning.kinds import Finding
from detectors.learning.learned import Learned, learned_reference
from detectors.learning.sketch import Sketch, merged

__all__ = ["Finding", "Learned", "Sketch", "learned_reference", "merged"]
