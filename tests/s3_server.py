"""A server that speaks S3, on loopback, and the settings by which DVC and boto find it."""

import logging
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import requests
from moto.server import ThreadedMotoServer

BUCKET = "models"
# Drawn anew, so that whoever finds them has found what leaked, not this file.
KEY_ID, SECRET = f"AKIA{secrets.token_hex(8).upper()}", secrets.token_hex(20)


@dataclass(frozen=True)
class Server:
    """A running server with one bucket, :data:`BUCKET`."""

    address: str

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.address,
            region_name="us-east-1",
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
        )

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """All objects of the bucket below a prefix, by their keys."""
        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    @contextmanager
    def nobody_is_known(self) -> Iterator[None]:
        """Refuse every request, whoever signed it; before and after, all are served."""
        self._serve_unasked("0")
        try:
            yield
        finally:
            self._serve_unasked("inf")

    def _serve_unasked(self, requests_served: str) -> None:
        requests.post(f"{self.address}/moto-api/reset-auth", data=requests_served, timeout=10)


@contextmanager
def serving() -> Iterator[Server]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        running = Server("http://{}:{}".format(*server.get_host_and_port()))
        running.client().create_bucket(Bucket=BUCKET)
        yield running
    finally:
        server.stop()


def credentials(home: Path) -> Mapping[str, str | None]:
    """Variables that give the credentials, and nothing of the user's own; None: to be unset."""
    return {
        "HOME": str(home),  # no ~/.aws
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",  # else boto asks the network for credentials
        **dict.fromkeys(
            ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_CONFIG_FILE")
        ),
        "AWS_SHARED_CREDENTIALS_FILE": None,
    }
