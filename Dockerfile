# Ballast in a container: Debian (the database wheel has no Alpine build), an unprivileged user, hashed packages.
FROM python:3.12-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOST=0.0.0.0 DATA_DIR=/data
WORKDIR /app

COPY requirements.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action ignore --require-hashes -r requirements.txt \
    && useradd --system --uid 10001 --home-dir /data --create-home ballast

COPY . .
USER ballast
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=2)"]

# Alone, with the embedded database and the demo: docker run --init -p 127.0.0.1:8501:8501 -v ballast:/data ballast
# With a PostgreSQL of its own: docker compose up
CMD ["python", "run.py"]
