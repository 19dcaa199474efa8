# Starts the image's own server as the image's user, asks for its health, and stops it in good order.
set -eu

test "$(id -u)" -ne 0
unset RAYTON_CONTROL_KEY_FILE  # a server on loopback has none
folder=$(mktemp -d)
mkdir "$folder/models"
rayton serve --repository "$folder/models" --log-file "$folder/triton.log" \
    --http-port 0 --grpc-port 0 --metrics-port 0 "$@" > "$folder/report" &
server=$!
while ! grep -q '^ready;' "$folder/report"; do
    kill -0 "$server"
    sleep 0.2
done
rayton health "$(sed -n 's/^gRPC *//p' "$folder/report")"
kill -TERM "$server"
wait "$server"
find /tmp -mindepth 1 -delete
