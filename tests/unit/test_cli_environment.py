"""The settings file that ``uploadmill dev`` writes is read back as it was meant."""

import tomllib

from uploadmill.worker.embedded.environment import toml


def test_tables_come_back_as_they_were():
    tables = {
        "redis_url": "redis://127.0.0.1:6379/0",
        "scanner": {"required": False},
        "pipelines": {
            'odd "name"': {"steps": [{"name": "scan", "options": {"time_limit": 1.5, "x": ()}}]}
        },
    }
    expected = {
        **tables,
        "pipelines": {
            'odd "name"': {"steps": [{"name": "scan", "options": {"time_limit": 1.5, "x": []}}]}
        },
    }

    assert expected == tomllib.loads(toml(tables))


def test_what_is_not_set_is_left_out():
    assert {"a": {"c": 1}} == tomllib.loads(toml({"a": {"b": None, "c": 1}}))
