-- How long do contacts wait for the first response of a person, and of a bot?
-- This query uses `waits`, which docs/queries/first_human_response.sql defines.
SELECT
  answers_of,
  since,
  count(*) FILTER (millis >= since AND (millis < until OR until IS NULL)) AS conversations
FROM waits
CROSS JOIN (
  SELECT 1000 * seconds AS since, 1000 * lead(seconds) OVER (ORDER BY seconds) AS until
  FROM (VALUES (0), (1), (5), (15), (60), (300), (900), (3600), (14400), (86400), (604800)) AS steps(seconds)
)
GROUP BY answers_of, since
ORDER BY answers_of DESC, since;
