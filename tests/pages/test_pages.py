"""Every command of the pages is run, and does what they say."""

from __future__ import annotations

from pathlib import Path

from tests.pages import exports, jobs, nodes, servers, versions
from tests.pages.place import place
from tests.support.told import told_commands
from triton_models.server.runtime import Runtime


def test_every_command_of_the_pages_does_what_they_say(runtime: Runtime, home: Path, tmp_path: Path) -> None:
    with place(home, tmp_path) as here:
        exports.write_sources(here)
        exports.into_a_folder(here)
        exports.fill_the_bucket(here)
        with nodes.cluster(here) as cluster:
            servers.a_folder(here, cluster)
            with servers.of_the_bucket(here) as doctor:
                servers.a_bulk_lane(here)
                servers.a_guarded_one(here, runtime)
                jobs.write_job(here)
                jobs.planned_scored_and_looked_at(here, cluster)
                jobs.a_night_later(here, cluster)
                jobs.mended(here)
                jobs.share_with_nobody(here)
                jobs.changed_and_tried_again(here, cluster)
                jobs.traced(here, cluster)
                nodes.score_from_any_node(here)
                nodes.metrics_of_a_node(here)
                nodes.score_while_nobody_is_there(here)
                servers.diagnosed(doctor)
                versions.loaded_by_servers(here)
                versions.looked_at_and_cleaned_up(here)
        assert here.ran == {told.line for told in told_commands() if told.line.startswith(("rayton ", "ray "))}
