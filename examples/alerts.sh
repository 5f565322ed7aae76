#!/bin/sh
# Alerts from a pipe, with the command alone: each new line of a file that matches goes to a room.
#
#     sh examples/alerts.sh app.log 'ERROR|CRIT' localhost/alerts
#
# tail goes on when the file is rotated. What cannot be sent waits in a file, and goes out at the
# next call of the same server and room. When this shell is killed tail notices it (--pid is GNU's),
# and the others end with the pipe, once all is there; Ctrl-C ends all of them.
set -eu
tail -n 0 -F --pid=$$ "$1" | grep --line-buffered -E "$2" |
  socketchat send "$3" --nick alerts --trust accept-new
