-- At which hour of the day are messages written, and by whom?
-- Hours are UTC. Asked of `written`, which docs/queries/first_human_response.sql defines.
SELECT
  -- A time that no calendar holds is unknown, like none at all.
  CASE WHEN createdAt BETWEEN 0 AND 4102444799999 THEN hour(epoch_ms(createdAt)) END AS hour,
  writer,
  count(*) AS messages
FROM written
GROUP BY ALL
ORDER BY ALL;
