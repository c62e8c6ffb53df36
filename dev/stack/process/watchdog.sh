#!/bin/sh
# Runs one command and makes sure that it never outlives its owner.
#
# usage: sh -c "$(cat watchdog.sh)" watchdog END_SIGNAL GRACE_SECONDS REMOVE_DIR COMMAND [ARGUMENT…]
# (as text, because the user that the command runs as may not be able to read this file)
#
# Standard input is the pipe to the owner: each line on it is the name of a signal to send to the command; its
# end (the owner closed it, ended, or was killed) sends END_SIGNAL and, after GRACE_SECONDS, KILL. When the
# command has ended and REMOVE_DIR is not empty, that directory is removed. The first line of standard output is
# the process id of the command; everything after it is the command's own. Exits with the command's code.
end_signal=$1 grace=$2 remove_dir=$3
shift 3

# Only the owner decides when the command ends, not a signal that was meant for a whole group of processes.
trap ':' INT HUP TERM

exec 3<&0
# Print the process id before exec, so that no output of the command can precede it.
/bin/sh -c 'echo "$$"; exec "$@"' start "$@" 3<&- </dev/null &
child=$!
# Silences the shell, which would print "Killed" as if it were output of the command.
exec 2>/dev/null

(
  trap - INT HUP TERM
  tenths=$((grace * 10))
  while read -r signal; do kill -s "$signal" "$child" 2>/dev/null; done
  kill -s "$end_signal" "$child" 2>/dev/null
  while [ "$tenths" -gt 0 ] && kill -0 "$child" 2>/dev/null; do
    sleep 0.1
    tenths=$((tenths - 1))
  done
  kill -s KILL "$child" 2>/dev/null
) <&3 >/dev/null 2>&1 &
keeper=$!
exec 3<&-

# `wait` returns early when a trapped signal arrives, so repeat it until the command has ended.
while :; do
  wait "$child"
  code=$?
  kill -0 "$child" 2>/dev/null || break
done
kill "$keeper" 2>/dev/null
if [ -n "$remove_dir" ]; then rm -rf -- "$remove_dir"; fi
exit "$code"
