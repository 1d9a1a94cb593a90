-- At which hour of the day do people write messages, and who writes them?
-- Hours are in UTC. This query uses `written`, which docs/queries/first_human_response.sql defines.
SELECT
  -- Treat an impossible time as missing.
  CASE WHEN createdAt BETWEEN 0 AND 4102444799999 THEN hour(epoch_ms(createdAt)) END AS hour,
  writer,
  count(*) AS messages
FROM written
GROUP BY ALL
ORDER BY ALL;
