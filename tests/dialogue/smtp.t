#!/usr/bin/env python3
"""Sessions of SMTP, as clients of many makes and of ill will hold them, in one
piece, line by line, and octet by octet: tests/dialogue/smtp/*.txt."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
from tap import Tap, skip_all
import player

if not os.access(player.PROGRAM, os.X_OK):
    skip_all("smtpd is not built: make")
tap = Tap()
folders = sys.argv[1:] or [os.path.join(HERE, "smtp")]
for folder in folders:
    tap.case(player.play_folder, tap, folder)
tap.done()
