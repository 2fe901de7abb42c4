"""Many small writes: images of small layers, and tags."""

import random

from benchmarks import load
from benchmarks.content import Blob, Image, image, random_blob, small_layers_image
from benchmarks.load import Action, Sample
from benchmarks.registries import Server
from benchmarks.works.work import Measure, Work


class ImagePush(Work):
    name = "image-push"
    how = (
        "Eight clients push images of five random layers of 4 to 16 KiB, a configuration and a manifest with a tag, "
        "as docker does: for each blob HEAD (404), POST, PATCH (chunked), PUT, HEAD; then PUT of the manifest. "
        "The content is made before the clock starts."
    )
    measures = (Measure("image-push", "push of images of 5 small layers", "images/s", digits=1, target_ratio=3.0),)

    def prepare(self) -> None:
        self._push(round_number=0, images_per_client=1)

    def round(self, number: int) -> dict[str, Sample]:
        return {"image-push": self._push(number, self.scale.images_per_client)}

    def _push(self, round_number: int, images_per_client: int) -> Sample:
        repository = "bench/images"
        self.server.authorization(repository)

        def prepare(index: int) -> Action:
            sizes = random.Random(f"{round_number} {index}")
            images = [small_layers_image(sizes) for _ in range(images_per_client)]
            client = self.server.client(repository)

            def push() -> int:
                for number, each in enumerate(images):
                    client.push_image(each, f"r{round_number}-c{index}-{number}")
                return len(images)

            return push

        return load.run_clients(self.server, self.scale.clients, prepare)


class TagPut(Work):
    name = "tag-put"
    how = "Eight clients PUT one manifest the registry has, each time with a tag that is new."
    measures = (Measure("tag-put", "tag PUT", "tags/s", target_ratio=3.0),)

    def prepare(self) -> None:
        self.manifest = push_one_image(self.server, "bench/tags").manifest

    def round(self, number: int) -> dict[str, Sample]:
        count = self.scale.clients * self.scale.tags_per_client
        tags = [f"r{number}-{index}" for index in range(count)]
        return {"tag-put": put_tags(self.server, "bench/tags", self.manifest, tags, self.scale.clients)}


def push_one_image(server: Server, repository: str) -> Image:
    """Push an image of one layer."""
    client = server.client(repository)
    layer = random_blob(4096)
    pushed = image((layer,))
    client.push_blob(layer)
    client.push_blob(pushed.config)
    client.put_manifest(pushed.manifest, "first")
    client.close()
    return pushed


def put_tags(server: Server, repository: str, manifest: Blob, tags: list[str], clients: int) -> Sample:
    """PUT a manifest with each of the tags, shared out among the clients."""
    server.authorization(repository)

    def prepare(index: int) -> Action:
        client = server.client(repository)
        requests = [client.manifest_request(manifest, tag) for tag in tags[index::clients]]

        def put() -> int:
            for request in requests:
                client.connection.exchange(request, expected=201)
            return len(requests)

        return put

    return load.run_clients(server, clients, prepare)
