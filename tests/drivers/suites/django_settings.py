"""The servers that Django's tests run on: two databases, as they want it."""

import os


def database(name):
    return {
        "ENGINE": "django.db.backends.mysql",
        "NAME": name,
        "USER": os.environ["ROUNDS_USER"],
        "PASSWORD": os.environ["ROUNDS_PASSWORD"],
        "HOST": os.environ["ROUNDS_HOST"],
        "PORT": os.environ["ROUNDS_PORT"],
        "OPTIONS": {"charset": "utf8mb4"},
        "TEST": {"CHARSET": "utf8mb4"},
    }


DATABASES = {"default": database("django"), "other": database("django_other")}
SECRET_KEY = "of tests only"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
