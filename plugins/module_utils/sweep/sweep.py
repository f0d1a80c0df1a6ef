# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A sweep: ends what one run left in an account, or what is past its lease, and touches nothing else.

Used by the module ``spot_sweep`` and by the guard of a run. What belongs to a run is told by the tags ``project`` and
``run_id`` together, what is past its lease by the tag ``lease_expires`` and AWS's own clock.
"""

from __future__ import annotations

from ..aws.client import ISO, Aws
from .instances import Instances
from .resources import Schedules, SpotRequests, Templates, TransportKeys, Volumes
from .scope import Report, Wanted


def sweep(aws: Aws, wanted: Wanted) -> Report:
    """End what is wanted, kind by kind, each whatever became of the others; safe to repeat, and twice at once.

    Raises:
        spot_sweep_wanted.Refused: There are more instances than may be ended; nothing was touched.
    """
    report = Report()
    instances, requests = Instances(aws, wanted, report), SpotRequests(aws, wanted, report)
    instances.adopt(requests.find())
    instances.look()
    instances.refuse_too_many()
    instances.adopt(requests.cancel())
    instances.end()
    volumes, templates = Volumes(aws, wanted, report), Templates(aws, wanted, report)
    volumes.end(patiently=not instances.living())
    templates.end()
    if instances.unknown:
        report.left.update({"transport_keys": None, "schedules": None})
    else:
        TransportKeys(aws, wanted, report).end(instances.dead())
        # The account's own insurance goes last, and only where nothing is left that it would end.
        runs = instances.runs_ended | requests.runs | volumes.runs | templates.runs
        Schedules(aws, wanted, report).end(runs, instances.runs_alive())
    now = aws.now()
    report.aws_time = now.strftime(ISO) if now else ""
    return report
