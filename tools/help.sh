#!/bin/sh
# The manual that `make help` shows. Targets, their groups and the variables are read from the Makefile, so that they are
# said in one place; what stands around them is here. No line is longer than 80 columns.
set -eu

cd "$(dirname "$0")/.."

cat <<'TEXT'
SPOT-TRAIN

NAME
  make - train on a rented EC2 spot instance, or on an AWS that runs here

SYNOPSIS
  make [TARGET] [VARIABLE=VALUE ...]

  Without a target: this manual. Without a real account everything runs
  against the embedded AWS, which starts by itself and costs nothing.

TARGETS
TEXT

# Both lists are wrapped at words: other lines of the Makefile need not care about the width.
awk '
function wrapped(head, indent, text,    words, count, number, line) {
    count = split(text, words, " ")
    line = sprintf("%-" indent "s", head)
    for (number = 1; number <= count; number++) {
        if (length(line) + length(words[number]) > 80 && length(line) > indent) {
            sub(/ +$/, "", line)
            print line
            line = sprintf("%-" indent "s", "")
        }
        line = line words[number] " "
    }
    sub(/ +$/, "", line)
    print line
}
/^##@ / { if (groups++) print ""; print "  " substr($0, 5); next }
/^##= / {
    name = $2
    sub(/^##= +[^ ]+ +/, "")
    names[++variables] = name
    texts[variables] = $0
    next
}
/^[a-z][a-z0-9-]*:.*## / {
    target = $0
    sub(/:.*/, "", target)
    sub(/^.*:.*## +/, "")
    wrapped("    make " target, 26, $0)
}
END {
    print "\nVARIABLES"
    for (number = 1; number <= variables; number++) wrapped("  " names[number], 12, texts[number])
}
' Makefile

cat <<'TEXT'

EXAMPLES
  make train
      A whole run on the embedded AWS, a minute or two.
  make train ARGS="-e training_mode=smoke"
      Any input of the run: docs/inputs.md has them all.
  make preflight ARGS=-v
      Check everything, train nothing, write nothing.
  make drill ARGS="reclaim-* --jobs 2"
      Some of the drills; ARGS=--list names them all.
  make test TESTS=tests/integration/repository ARGS="-k help"
      Some of the tests.
  make docs ARGS="-b linkcheck"
      Check the links to other sites; needs the network.

FILES
  runs/latest/        receipt.json, report.html and logs of the newest run
  .local_aws/         state and ledger of the embedded AWS
  .cache/site/        the documentation, after make docs
  .venv/              what make setup makes; tests add .venv-2.21/
  group_vars/         inputs for good: local.yml, aws.yml

ENVIRONMENT
  LOCAL_AWS_HOME      Another folder than .local_aws: a second, separate AWS.
  LOCAL_AWS_CACHE     Another folder for the packages that machines share.
  NO_COLOR            No colours from Ansible, whatever the terminal is.
  AWS_PROFILE ...     Credentials, with -i inventory/aws only; as boto3 finds
                      them.

EXIT STATUS
  0   done
  2   Failed or refused. The last line of make names the exit code of the
      command behind it: a run's is 2 or 4 (failed), 5 (options that cannot
      be), 64 (no capacity), 75 (interrupted: run it again), or 130, 137 or
      143 (killed; the watchdog ends the instance). ansible-playbook itself ends
      with that number: docs/receipt.md

SEE ALSO
  README.md, docs/index.md, docs/failures.md, CONTRIBUTING.md
TEXT
