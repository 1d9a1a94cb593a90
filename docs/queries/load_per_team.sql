-- How many conversations did the members of each team take part in, and how many is that per member?
-- A conversation counts once for a team, however many members took part, and once for each team of a participant.
WITH member_of AS (
  SELECT DISTINCT id AS team, TRY_CAST(unnest(members ->> '$[*]') AS BIGINT) AS agent
  FROM teams
),
sizes AS (
  SELECT team, count(agent) AS people
  FROM member_of
  GROUP BY team
),
took_part AS (
  SELECT id AS conversation, status, TRY_CAST(unnest(participants ->> '$[*]') AS BIGINT) AS agent
  FROM conversation_details
),
talks AS (
  SELECT
    team,
    count(DISTINCT conversation) AS conversations,
    count(DISTINCT conversation) FILTER (status = 'open') AS open
  FROM member_of
  JOIN took_part USING (agent)
  GROUP BY team
)
SELECT
  teams.id AS team,
  name,
  status,
  coalesce(people, 0) AS members,
  coalesce(conversations, 0) AS conversations,
  coalesce(open, 0) AS open,
  round(conversations / people, 1) AS conversations_per_member
FROM teams
LEFT JOIN sizes ON sizes.team = teams.id
LEFT JOIN talks ON talks.team = teams.id
ORDER BY conversations DESC, teams.id;
