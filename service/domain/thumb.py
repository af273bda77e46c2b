"""Rules of thumb, as people write them: one statistic of a column beside a fixed number.

Such as `psi > 0.2`, `ks p < 0.05`, or `js_distance > 0.1 in 50% of columns`. They know neither how many rows a window has nor
how much windows differ when nothing is wrong, and so cannot keep to a budget of false alarms. They are here to be compared
with, and for those who have to go on with them.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator

__all__ = ["PVALUES", "STATISTICS", "ThumbRule", "ThumbText", "parse_rule"]

STATISTICS: Final = (
    "psi",
    "psi_excess",
    "kl",
    "js_distance",
    "hellinger",
    "total_variation",
    "l_infinity",
    "chi2",
    "g",
    "ks",
    "ks_upper",
    "wasserstein",
    "wasserstein_normed",
    "cramer_von_mises",
    "anderson_darling",
)
"""Those of `detectors.catalog`, which is not imported to read a configuration; a test holds the two together."""

PVALUES: Final = {"ks p": "ks_pvalue", "chi2 p": "chi2_pvalue"}
"""P-values of independent rows, as such rules take them."""

_NAMES: Final = {name: name for name in STATISTICS} | PVALUES | {name: name for name in PVALUES.values()}
_WRITTEN: Final = {statistic: text for text, statistic in PVALUES.items()}
_RULE: Final = re.compile(
    r"(?P<name>[a-z][a-z0-9_]*(?: +p)?) *(?P<side>[<>]) *(?P<number>[0-9]{1,9}(?:\.[0-9]{1,12})?)"
    r"(?: +in +(?P<share>[0-9]{1,3}(?:\.[0-9]{1,6})?) *% +of +columns)?"
)
_WANTED: Final = "wanted such as `psi > 0.2`, `ks p < 0.05` or `js_distance > 0.1 in 50% of columns`"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThumbRule:
    """A statistic and the number that it must not pass.

    Parameters
    ----------
    statistic : str
        One of `STATISTICS`, or a value of `PVALUES`.
    above, below : float or None
        One of the two.
    columns_share : float or None
        Share of the columns that have to pass it together; None for any one of them.
    """

    statistic: str
    above: float | None = None
    below: float | None = None
    columns_share: float | None = None

    @property
    def text(self) -> str:
        """As people write it."""
        name = _WRITTEN.get(self.statistic, self.statistic)
        side = f"> {self.above:g}" if self.above is not None else f"< {self.below:g}"
        share = "" if self.columns_share is None else f" in {100 * self.columns_share:g}% of columns"
        return f"{name} {side}{share}"


def parse_rule(text: str) -> ThumbRule:
    """A rule as it is written.

    Raises
    ------
    ValueError
        It is none; the text says what was wanted.
    """
    match = _RULE.fullmatch(text.strip())
    name = None if match is None else _NAMES.get(" ".join(match["name"].split()))
    if match is None or name is None:
        raise ValueError(_WANTED)
    number = float(match["number"])
    share = None if match["share"] is None else float(match["share"]) / 100
    if share is not None and not 0 < share <= 1:
        raise ValueError("wanted more than 0% and at most 100% of columns")
    above, below = (number, None) if match["side"] == ">" else (None, number)
    return ThumbRule(statistic=name, above=above, below=below, columns_share=share)


def _checked(text: str) -> str:
    return parse_rule(text).text


ThumbText = Annotated[str, AfterValidator(_checked)]
"""A rule of thumb in a document, such as `psi > 0.2`."""
