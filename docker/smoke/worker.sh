# Runs a Ray node as the image's user, as far as a job needs one, and stops it.
set -eu

test "$(id -u)" -ne 0
if python -c 'import torch' 2> /dev/null; then
    echo 'torch is in this image, and must not be' >&2
    exit 1
fi
rayton score --help > /dev/null
ray start --head --block --num-cpus 1 --resources '{"triton": 1}' --port 6399 --node-ip-address 127.0.0.1 \
    --dashboard-agent-listen-port 52399 &
node=$!
until python -c 'from urllib.request import urlopen; urlopen("http://localhost:52399/api/healthz", timeout=10)' 2> /dev/null
do
    kill -0 "$node"
    sleep 0.5
done
python -c '
import ray
import ray_pipeline.job

ray.init(address="127.0.0.1:6399")
assert ray.get(ray.remote(resources={"triton": 1})(lambda: 6 * 7).remote()) == 42
'
kill -TERM "$node"
wait "$node" || true # Ray says 1 when it is told to end
find /tmp -mindepth 1 -delete
