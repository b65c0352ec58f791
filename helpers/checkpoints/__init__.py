"""The checkpoints that the notebooks load: small ones bundled here, full-size ones on the Hugging Face hub.

    model = SuperPointForKeypointDetection.from_pretrained(checkpoints.find("superpoint", source="bundled"))

Both sources of a name load through the same class of transformers. What has no counterpart on the hub has a class of
our own: there is only the bundled one. And of some there is only the hub's.
"""

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

FILES = ("config.json", "preprocessor_config.json", "model.safetensors")  # what a model and its processor load
TIMEOUT_S = 5


@dataclass(frozen=True)
class Checkpoint:
    """One row of `TABLE`; `model_class` loads either source, from transformers if it has no dot. `bundled_licence` is
    None where none is bundled, `hub_id` where the hub has none; `hub_mb` is the size of the hub's weights in MB, where
    known."""

    task: str
    model_class: str
    bundled_licence: str | None = None
    hub_id: str | None = None
    hub_licence: str | None = None
    hub_mb: float | None = None
    files: tuple = FILES


TABLE = {
    "superpoint": Checkpoint(
        task="keypoint detection and description",
        model_class="SuperPointForKeypointDetection",
        bundled_licence="research and learning (see its card)",
        hub_id="magic-leap-community/superpoint",
        hub_licence="Magic Leap, non-commercial research",
        hub_mb=5.2,
    ),
    "lightglue": Checkpoint(
        task="matching of SuperPoint's keypoints",
        model_class="AutoModelForKeypointMatching",
        hub_id="ETH-CVG/lightglue_superpoint",
        hub_licence="other (its SuperPoint: non-commercial research)",
        hub_mb=55,
    ),
    "face-landmarks": Checkpoint(
        task="68 facial landmarks (hub: 308 keypoints)",
        model_class="AutoModelForPoseEstimation",
        bundled_licence="research and learning (see its card)",
        hub_id="facebook/sapiens2-pose-0.4b",
        hub_licence="Sapiens2 licence",
        hub_mb=1703,
    ),
    "body-pose": Checkpoint(
        task="17 body joints",
        model_class="VitPoseForPoseEstimation",
        bundled_licence="research and learning (see its card)",
        hub_id="usyd-community/vitpose-base-simple",
        hub_licence="Apache-2.0",
        hub_mb=343,
    ),
    "person-boxes": Checkpoint(
        task="boxes of persons and 79 other kinds of objects",
        model_class="AutoModelForObjectDetection",
        hub_id="PekingU/rtdetr_r50vd_coco_o365",
        hub_licence="Apache-2.0",
        hub_mb=172,
    ),
    "body-lifter": Checkpoint(
        task="12 limb joints in 2D to 3D",
        model_class="helpers.lifter.BodyLifter",
        bundled_licence="Apache-2.0 (see its card)",
        files=("config.json", "model.safetensors"),
    ),
}


class CheckpointUnavailable(RuntimeError):
    """A known checkpoint can't be loaded here and now; the message names it, the cause and the remedy."""


def find(name: str, source: str = "bundled") -> str:
    """Returns what `from_pretrained` needs to load the checkpoint `name`.

    With `source="bundled"` that is the folder that came with this package; nothing touches the network. With
    `source="hub"` it is the hub id, after checking that its files are in the local Hugging Face cache or, failing that,
    that the hub would serve them (at most `TIMEOUT_S` seconds each way; nothing is downloaded yet).

    Raises ValueError for an unknown name or source, and CheckpointUnavailable when the files are out of reach or
    that source has none.
    """
    if name not in TABLE:
        raise ValueError(f"Unknown checkpoint {name!r}; there are: {', '.join(TABLE)}.")
    if source == "bundled" and TABLE[name].bundled_licence is None:
        raise CheckpointUnavailable(f'{name!r} is not bundled: use source="hub".')
    if source == "bundled":
        return _bundled(name)
    if source == "hub" and TABLE[name].hub_id is None:
        raise CheckpointUnavailable(f'{name!r} has no counterpart on the hub: use source="bundled".')
    if source == "hub":
        return _hub(TABLE[name].hub_id)
    raise ValueError(f'Unknown source {source!r}; use "bundled" or "hub".')


def markdown_table() -> str:
    """Returns the checkpoints as a Markdown table; the sizes of bundled weights are read from the disk."""
    rows = [
        "| name | task | class | bundled | hub |",
        "|---|---|---|---|---|",
    ]
    for name, entry in TABLE.items():
        weights = _folder(name) / "model.safetensors"
        size = f"{weights.stat().st_size / 1e6:.1f} MB" if weights.exists() else "absent"
        bundled = f"{size}, {entry.bundled_licence}" if entry.bundled_licence else "none"
        hub_size = f" {entry.hub_mb} MB," if entry.hub_mb else ""
        hub = f"[{entry.hub_id}](https://huggingface.co/{entry.hub_id}),{hub_size} {entry.hub_licence}"
        rows.append(
            f"| `{name}` | {entry.task} | `{entry.model_class}` | {bundled} | {hub if entry.hub_id else 'none'} |"
        )
    return "\n".join(rows)


def _folder(name: str) -> Path:
    return Path(__file__).parent / name


def _bundled(name: str) -> str:
    missing = [file for file in TABLE[name].files if not (_folder(name) / file).is_file()]
    if missing:
        otherwise = ', or use source="hub"' if TABLE[name].hub_id else ""
        raise CheckpointUnavailable(
            f"The bundled checkpoint {name!r} is incomplete: {_folder(name)} lacks {', '.join(missing)}. "
            f"Install from a full clone of the repository{otherwise}."
        )
    return str(_folder(name))


def _hub(hub_id: str) -> str:
    if all(isinstance(try_to_load_from_cache(hub_id, file), str) for file in FILES):
        return hub_id
    try:
        for file in FILES:
            get_hf_file_metadata(hf_hub_url(hub_id, file), timeout=TIMEOUT_S)
    except Exception as error:  # the hub's HTTP client, and with it the class of a failed connection, varies
        raise CheckpointUnavailable(f'{hub_id} {_diagnosis(error, hub_id)}, or use source="bundled".') from error
    return hub_id


def _diagnosis(error: Exception, hub_id: str) -> str:
    """The cause and the remedy, as two sentences without subject and full stop."""
    match error:
        case errors.OfflineModeIsEnabled():
            cause = "is not in the local cache, and offline mode is on"
            remedy = f"Unset HF_HUB_OFFLINE and restart, or run `hf download {hub_id}` once with a network"
        case errors.GatedRepoError():
            cause = "is gated, and this account has no access yet"
            remedy = f"Accept its terms at https://huggingface.co/{hub_id}, then run `hf auth login`"
        case errors.RepositoryNotFoundError() | errors.EntryNotFoundError():
            cause = "was not found on the hub, or is private"
            remedy = f"Look at https://huggingface.co/{hub_id}, then run `hf auth login`"
        case _:
            cause = f"is not in the local cache, and the hub does not serve it now ({error})"
            remedy = f"Check the network, or run `hf download {hub_id}` once with a better one"
    return f"{cause}. {remedy}"
