#!/bin/sh
# Makes the passwords for compose.yaml, once, in the folder secrets/ below the current folder.
# Passwords are parts of URLs, so they have letters and digits only. Other users cannot open the folder. Its files are readable,
# because a container runs as another user.
set -eu
umask 077
password() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
if [ -d secrets ]; then
    if [ ! -e secrets/grafana_password ]; then # the folder is of an older release
        password > secrets/grafana_password
        chmod 0444 secrets/grafana_password
    fi
    echo "secrets/ exists already, and the databases know its passwords"
    exit 0
fi
broker=$(password)
database=$(password)
root=$(password)
rm -rf secrets.new
mkdir secrets.new
cd secrets.new
cat > rabbitmq.conf <<EOF
default_user = mailpact
default_pass = $broker
default_user_tags.administrator = false
vm_memory_high_watermark.absolute = 256MiB
log.file = false
EOF
printf 'amqp://mailpact:%s@rabbitmq:5672/\n' "$broker" > amqp_url
printf 'mysql+pymysql://mailpact:%s@mysql:3306/mailpact\n' "$database" > database_url
printf '%s\n' "$database" > mysql_password
printf '%s\n' "$root" > mysql_root_password
password > grafana_password
chmod 0444 ./*
cd ..
mv secrets.new secrets
echo "made secrets/; now: docker compose up"
