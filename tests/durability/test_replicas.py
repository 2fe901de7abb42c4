"""Replicas that start at the same time on a database and a bucket in which nothing is."""

import json
import random
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.durability.conftest import MakeEntrepot
from tests.durability.exchange import Connection
from tests.durability.pushes import assert_image_pulls, make_image, push_image
from tests.peers.postgresql import PostgreSQL
from tests.peers.seaweedfs import SeaweedFS

REPLICAS = 3
REPOSITORY = "durability/replicas"
_PASSWORD = re.compile(r"^  password: +(\S+) ", re.MULTILINE)


def test_replicas_that_start_at_once_tell_one_password_once_and_it_works_on_each(
    make_entrepot: MakeEntrepot, postgresql: PostgreSQL, seaweedfs: SeaweedFS, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    with postgresql.new_database() as url:
        options = "".join(f"{key} = {json.dumps(value)}\n" for key, value in seaweedfs.options().items())
        config = f"[database]\nurl = {json.dumps(url)}\nconnections = 4\n"
        config += f"[storage]\nurl = {json.dumps(seaweedfs.new_url())}\nredirect = false\n[storage.options]\n{options}"
        nothing_given = {"ENTREPOT_ADMIN_PASSWORD": ""}
        replicas = [
            make_entrepot(f"replica-{number}", config=config, workers=1, environment=nothing_given)
            for number in range(REPLICAS)
        ]
        for replica in replicas:
            (replica.data / "keys").symlink_to(keys)
        with ThreadPoolExecutor(REPLICAS) as starting:
            list(starting.map(lambda replica: replica.start(), replicas))

        (password,) = [told for replica in replicas for told in _PASSWORD.findall(replica.log_path.read_text())]
        image = make_image(random.Random(1), layer_bytes=200_000)
        for number, replica in enumerate(replicas):
            replica.password = password
            with Connection(replica) as connection:
                push_image(connection, REPOSITORY, f"v{number}", image)
        for replica in replicas:
            with Connection(replica) as connection:
                for number in range(REPLICAS):
                    assert_image_pulls(connection, REPOSITORY, f"v{number}", image)
        for replica in replicas:
            replica.stop()
