"""An image of one layer, as `docker save` has it: image.py LAYER.tar IMAGE.tar"""
import hashlib
import io
import json
import sys
import tarfile

with open(sys.argv[1], "rb") as file:
    layer = file.read()
config = json.dumps({
    "architecture": "amd64", "os": "linux",
    "config": {"Entrypoint": ["sleep"], "Cmd": ["1000000"], "Env": ["PATH=/bin"]},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
}).encode()
name = hashlib.sha256(config).hexdigest() + ".json"
manifest = json.dumps([{"Config": name, "RepoTags": ["docker.io/library/box:latest"], "Layers": ["layer.tar"]}]).encode()
with tarfile.open(sys.argv[2], "w") as archive:
    for entry, data in [(name, config), ("layer.tar", layer), ("manifest.json", manifest)]:
        information = tarfile.TarInfo(entry)
        information.size = len(data)
        archive.addfile(information, io.BytesIO(data))
