"""The weights that are a part of this package: trained by us, each with a model card beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["SHIPPED", "SHIPPED_FOLDER", "ShippedWeights"]

SHIPPED_FOLDER = Path(__file__).with_name("shipped")


@dataclass(frozen=True)
class ShippedWeights:
    """One file in the folder ``shipped``.

    Attributes
    ----------
    name, network, title
        Our name for it, the method it belongs to, and what a person is shown.
    sha256, size_bytes
        Of the file, in full.
    licence
        Its terms.
    """

    name: str
    network: str
    title: str
    sha256: str
    size_bytes: int
    licence: str

    @property
    def filename(self) -> str:
        """Its name in the folder."""
        return f"{self.name}.safetensors"

    @property
    def card(self) -> str:
        """Name of its model card in the folder."""
        return f"{self.name}.md"


_LICENCE = "BSD-3-Clause, as this package; see the model card for the data"
SHIPPED = (
    ShippedWeights(
        name="rdn",
        network="rdn",
        title="Residual dense network",
        sha256="ccf70a3dd9c86a4e92c127aa2343a06f88835427468d606c52dbc6291c791a60",
        size_bytes=832_740,
        licence=_LICENCE,
    ),
    ShippedWeights(
        name="transfusion-compact",
        network="transfusion",
        title="TransFusion, compact",
        sha256="af42d8b40f98bfc9c8592b8b119696a16100f2e2040bbaed7bd48e023df27a34",
        size_bytes=6_246_332,
        licence=_LICENCE,
    ),
)
