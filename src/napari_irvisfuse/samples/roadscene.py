"""Six real image pairs of the RoadScene data set, fetched from its public repository when asked for.

RoadScene was made by Xu, Ma, Le, Jiang and Guo ("FusionDN: A Unified Densely Connected Network for Image Fusion",
AAAI 2020, doi:10.1609/aaai.v34i07.6936) from video frames that FLIR had published. Its repository states no licence.
So none of its images is part of this package: they are fetched from where the authors put them, at one commit and
checked against the hashes below, onto the computer of whoever wants to see them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_irvisfuse.errors import ParameterError
from napari_irvisfuse.types import Cancel, Progress
from napari_irvisfuse.weights.download import download
from napari_irvisfuse.weights.store import cache_dir

__all__ = ["PAIRS", "RemoteFile", "RoadScenePair", "fetch_pair"]

_COMMIT = "ab71420f8fc96396eeb97eecf3694909b3feb656"
_BASE_URL = f"https://raw.githubusercontent.com/hanna-xu/RoadScene/{_COMMIT}"


@dataclass(frozen=True)
class RemoteFile:
    """Size in bytes and SHA-256 of a file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class RoadScenePair:
    """An infrared and a visible image of one scene.

    Attributes
    ----------
    name
        The file name in the data set, without its ending.
    title
        What is seen.
    shape
        Height and width of both images in pixels.
    ir, visible
        The two files; infrared is grey, visible is RGB.
    """

    name: str
    title: str
    shape: tuple[int, int]
    ir: RemoteFile
    visible: RemoteFile


PAIRS = (
    RoadScenePair(
        "FLIR_00233",
        "Day: cars waiting at traffic lights",
        (351, 502),
        RemoteFile(22104, "fa4e19e5d9ddf63704638f3a80ca6cc4490638275f9b68f006ff07f78763731f"),
        RemoteFile(18946, "8bfebe91211a88434f6e6d5de29475b8501c7b40af62515f01348e290b5452b2"),
    ),
    RoadScenePair(
        "FLIR_05027",
        "Day: a pedestrian under a stop sign",
        (290, 460),
        RemoteFile(22806, "0269c8e3bbb5063c817baf17e26cb86933da77597336846ce32aafef73f6f9ee"),
        RemoteFile(19376, "1bb9a25ae893dde094f05a201de7b009972aa46f3ed5714003fe6812585886cb"),
    ),
    RoadScenePair(
        "FLIR_06570",
        "Dusk: a cyclist and a pedestrian between parked cars",
        (426, 585),
        RemoteFile(32591, "6b3023719199bd68974a72187a409bd3fed853dba61b6b900b48c200d5cd4c60"),
        RemoteFile(28748, "3fa78150137482c2bce8b4b3b67cdbb9056846da4e38e2935b454f9a7dc21f7f"),
    ),
    RoadScenePair(
        "FLIR_05697",
        "Night: two pedestrians crossing in front of headlights",
        (422, 553),
        RemoteFile(24833, "af50c751aec711b1b987ce05ef85e909bfcbbf52cc60bfaa2589096641b31257"),
        RemoteFile(24631, "be5d56b2735aab5c649a3c12f604831501b96304e1a2dd9ddbb4750a8fe59f09"),
    ),
    RoadScenePair(
        "FLIR_06236",
        "Night: a car in a lit street",
        (415, 545),
        RemoteFile(27839, "97adb339457f5ef37535b6a9b081d286b3b790a449262dee3eeeae2e00268e98"),
        RemoteFile(24537, "acc58cbfae943e7e73e5b85d6ca4e8d0ac586501c2935076e0a695f7630bae89"),
    ),
    RoadScenePair(
        "FLIR_07620",
        "Night: a group of people under dark trees",
        (316, 526),
        RemoteFile(19080, "564604c1797741c5f35ddbfd1fc4986888fbf2ca1ad8d820ed03589e8b31fc5b"),
        RemoteFile(15168, "407c570cbd2a667c0ae448486fa7fbf76bbfe22fd6c51a85de513108176cdfa1"),
    ),
)


def fetch_pair(
    name: str,
    *,
    progress: Progress | None = None,
    cancelled: Cancel | None = None,
    base_url: str | None = None,
) -> tuple[Path, Path]:
    """Fetch a pair, unless it is already in the cache.

    Parameters
    ----------
    name
        The name of one of :data:`PAIRS`.
    progress, cancelled
        As in :func:`napari_irvisfuse.weights.download.download`.
    base_url
        A mirror of the repository's files; default: the repository itself, at a fixed commit.

    Returns
    -------
    tuple of Path
        The infrared and the visible image.

    Raises
    ------
    ParameterError
        If there is no such pair.
    DownloadError
        If a file cannot be fetched; says where to get it and where to put it.
    Cancelled
        If the user stopped it.
    """
    pair = next((pair for pair in PAIRS if pair.name == name), None)
    if pair is None:
        raise ParameterError(f"There is no pair {name!r}: choose one of {', '.join(pair.name for pair in PAIRS)}.")
    base = (base_url or _BASE_URL).rstrip("/")
    paths = []
    # the data set's own folders, as both files have one name: a file fetched by hand keeps it
    for folder, file in (("cropinfrared", pair.ir), ("crop_LR_visible", pair.visible)):
        target = cache_dir() / "roadscene" / folder / f"{name}.jpg"
        url = f"{base}/{folder}/{name}.jpg"
        paths.append(download(url, target, sha256=file.sha256, size=file.size, progress=progress, cancelled=cancelled))
    return paths[0], paths[1]
