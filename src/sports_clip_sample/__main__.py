"""`python -m sports_clip_sample`: write a sample of drawn sports scenes."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sports_clip_sample import write_sample

DESCRIPTION = """\
Write small drawn sports scenes in exactly the form of the published corpora:

  flickr8k.zip   Images/*.jpg and captions.txt (image,caption; five rows an image)
  sports.zip     train/train/*.jpg with train_labels.csv (image,sports),
                 test/test/*.jpg with test_images_list.csv (image)
  sample.json    size, seed and version of the generator

The same size and seed always give the same bytes, and a larger sample begins with the smaller one.
Where the same sample is already there, nothing is written.

Some pictures are flawed on purpose: exact and near duplicates within and across the archives,
truncated files, a web page saved as a picture, a few wrong labels.

example: python -m sports_clip_sample --out data/01_raw/sample
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and write; returns the exit status."""
    parser = argparse.ArgumentParser("python -m sports_clip_sample", description=DESCRIPTION)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, required=True, help="folder; made if missing")
    size_help = (
        "labelled sports images, at least 40 (default: 800); with them come N/8 images for the test"
        " and 3N/4 for flickr8k.zip. Below about 300 the smallest label fraction of conf/base"
        " leaves classes without an image"
    )
    parser.add_argument("--size", type=int, default=800, metavar="N", help=size_help)
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="0 or more (default: 0)")
    given = parser.parse_args(arguments)
    try:
        write_sample(given.out, given.size, given.seed)
    except ValueError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        where, what = error.filename or given.out, error.strerror or error
        print(f"Error: {where}: {what}; free space or change --out", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
