"""The settings of a producer: what it uses must work at once, and what it does not use may not."""

from __future__ import annotations

import pytest

from uploadmill import Uploads
from uploadmill.errors import InvalidSettings, UnknownPipeline
from uploadmill.settings import Settings

#: A store that can only be opened where somebody has said which account it is in.
NOWHERE = {"url": "azure://uploads"}


def test_a_producer_is_told_when_it_begins_what_its_first_upload_would_run_into():
    settings = Settings.model_validate({"staging": NOWHERE, "secondary": {"url": "gs://B"}})

    with pytest.raises(InvalidSettings) as caught:
        Uploads(settings)

    staging, secondary = caught.value.mistakes
    assert staging.startswith("storage 'staging': account_url is missing")
    assert secondary.startswith("storage 'secondary': no bucket of Google's")


def test_what_only_workers_use_need_not_work_where_there_are_none():
    mine = {"mine": {"steps": ["scann"]}}
    settings = Settings.model_validate({"quarantine": NOWHERE, "pipelines": mine})

    uploads = Uploads(settings)

    with pytest.raises(UnknownPipeline):
        uploads.stage(b"bytes", pipeline="other")
