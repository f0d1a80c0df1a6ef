"""Both ends of Session Manager's data channel.

``server`` and ``agent`` are the agent's end, hosted by the embedded AWS; ``plugin`` and ``client`` are a
``session-manager-plugin`` for the control node. Both share ``frames`` (messages on the wire) and ``stream`` (order,
acknowledgement, resending). This module imports nothing: the plugin starts once per Ansible task.
"""
