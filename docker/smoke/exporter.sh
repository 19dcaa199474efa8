# Exports a small model as the image's user, with all proofs, and looks at its card.
set -eu

test "$(id -u)" -ne 0
python -c 'import torch; assert torch.version.cuda is None, f"torch {torch.__version__} is not the CPU build"'
folder=$(mktemp -d)
cat > "$folder/sums.py" << 'MODULE'
import torch


def sums():
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()).eval(), (torch.zeros(2, 4),)
MODULE
rayton export "$folder/sums.py:sums" --name sums --repository "$folder/models"
rayton models card sums --repository "$folder/models"
find /tmp -mindepth 1 -delete
