"""Keys in a store that uploadmill shares with a web app: which are whose."""

from uploadmill.backends.ledger.decisions import upload_key
from uploadmill.backends.storage.roles import Stores
from uploadmill.ids import new_job_id, new_nonce


def broken_keys(stores: Stores) -> list[str]:
    """A key of ours for staging, primary, secondary and quarantine, in this order."""
    outputs = [stores.output_key(new_job_id(), f"large-{number:032x}.bin") for number in (1, 2)]
    return [upload_key(new_job_id(), new_nonce()), *outputs, f"{new_job_id()}/{'a' * 64}"]


def shared_keys() -> list[str]:
    """Keys that a web app may use in any store: none has the form of one of ours."""
    return [
        "company/backup.tar",
        "uploads/client-video.mp4",
        f"uploads/{new_job_id()}/client-video.mp4",
        f"{new_job_id()}/backup.tar",
        f"media/{new_job_id()}/backup.tar",
        "media/backup.tar",
    ]
