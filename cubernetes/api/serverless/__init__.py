"""The kinds of the group serverless.cubernetes.io: functions, their revisions, and routes."""
