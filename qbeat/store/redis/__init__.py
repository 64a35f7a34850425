"""A store in Redis or Valkey: each verb is one Lua script."""

from qbeat.store.redis.store import RedisStore

__all__ = ["RedisStore"]
