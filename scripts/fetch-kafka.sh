#!/usr/bin/env bash
# Puts Apache Kafka where the tests look for it, without installing anything: the broker's jars from Maven Central, by
# Maven as it is configured on this machine, into a cache outside the tree. The tests run it on a plain classpath.
#
# FOREWARN_KAFKA=/path/to/libs (a folder of jars, such as that of Apache's own archive) overrides it. Where the fetching
# does not work this says so and succeeds: the tests then say what they skip, or fail where nothing may be skipped.
set -euo pipefail

version=4.4.0 # wants Java 17
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/forewarn-test-peers

say() {
    echo "fetch-kafka: $*"
}

give_up() {
    say "$*; tests with Kafka have none"
    exit 0
}

if [ -n "${FOREWARN_KAFKA:-}" ]; then
    say "$FOREWARN_KAFKA is taken"
    exit 0
fi
if [ -e "$cache/kafka/kafka_2.13-$version.jar" ]; then
    say "Kafka $version is in $cache/kafka"
    exit 0
fi
command -v java >/dev/null || give_up "there is no java here (Debian: openjdk-17-jre-headless)"
command -v mvn >/dev/null || give_up "there is no mvn here (Debian: maven)"

mkdir -p "$cache"
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>forewarn</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>$version</version>
    </dependency>
    <!-- What the broker logs goes to standard error; it brings the interface only. -->
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
POM
# A dead mirror must not hold the tests up.
timeout --kill-after=10 600 mvn -B -q -f "$work/pom.xml" -Dmdep.useBaseVersion=true \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$work/libs" </dev/null >"$work/log" 2>&1 ||
    give_up "Maven does not fetch it ($(grep -m 1 ERROR "$work/log" || tail -n 1 "$work/log"))"
[ -e "$work/libs/kafka_2.13-$version.jar" ] || give_up "Maven fetched something else"

# In one step, so that a test that looks meanwhile finds all or nothing.
rm -rf "$cache/kafka"
mv -T "$work/libs" "$cache/kafka"
say "Kafka $version is in $cache/kafka ($(du -sh "$cache/kafka" | cut -f 1))"
