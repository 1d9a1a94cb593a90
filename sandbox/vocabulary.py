"""Made-up names, texts and places for the sandbox's data.

Everything is made up: domains end in `example.com`, addresses come from the documentation ranges of RFC 5737, telephone
numbers from the fictional 555-01xx block.
"""

GIVEN_NAMES = (
    "Ada", "Ben", "Chiara", "Dmitri", "Élodie", "Femi", "Greta", "Hiro", "Inês", "Jonas", "Kavya", "Liam",
    "Mei", "Nils", "Olga", "Priya", "Quentin", "Rosa", "Søren", "Tariq", "Uma", "Viktor", "Wen", "Zoë",
)  # fmt: skip
FAMILY_NAMES = (
    "Abara", "Bergström", "Castellan", "Dlamini", "Eriksen", "Fontaine", "Grünwald", "Haddad", "Ivanova", "Jansen",
    "Kimura", "López", "Moreau", "Novák", "Okafor", "Pereira", "Rossi", "Sato", "Tanaka", "Ueda", "Varga", "Wójcik",
    "Yılmaz", "Zhang",
)  # fmt: skip
COMPANIES = (
    "northwind", "bluefin", "cedarhill", "dawnlight", "everfield", "foxglove", "granite", "harbourside", "inkwell",
    "juniper", "kestrel", "lanternway", "mossbank", "nightjar", "oakhollow", "pinecrest",
)  # fmt: skip
PLACES = (
    {
        "city": "Springfield",
        "region": "IL",
        "country": "US",
        "postalCode": "00501",
        "latitude": 39.8,
        "longitude": -89.6,
    },
    {"city": "Göteborg", "region": "O", "country": "SE", "latitude": 57.7, "longitude": 11.97},
    {"city": "São Paulo", "region": "SP", "country": "BR", "latitude": -23.55, "longitude": -46.63},
    {"city": "大阪市", "region": "27", "country": "JP", "latitude": 34.69, "longitude": 135.5},
)
USER_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
)
VISITOR_TEXTS = (
    "<p>Hi, is anybody there?</p>",
    "<p>How much is the team plan for 25 people?</p>",
    "<p>Does it work with our CRM &amp; data warehouse?</p>",
    "<p>I can&#39;t sign in since this morning 😕</p>",
    "<p>Könnten Sie mir ein Angebot schicken?</p>",
    "<p>料金プランについて教えてください</p>",
    "<p>هل يوجد عرض تجريبي؟</p>",
    "<p>Можно оплатить по счёту?</p>",
    "<p>We compare &lt;three&gt; vendors, what makes you different?</p>",
    "<p>Great, thank you! 🎉👩‍💻</p>",
    "<p>Please mail me the details:<br/>first line<br/>second line</p>",
    "<p>Is my data kept in the EU?</p>",
)
AGENT_TEXTS = (
    "<p>Hello 👋 happy to help. What are you trying to do?</p>",
    "<p>The team plan is billed per seat &amp; month, the first two weeks are free.</p>",
    '<p>Here is the page on that: <a href="https://www.example.com/docs">docs</a></p>',
    "<p>Let me look into it and come back to you.</p>",
    "<p>Gern! Ich schicke Ihnen das Angebot noch heute.</p>",
    "<p>I&#39;ve reset it, please try once more 🙏</p>",
    "<p>Would tomorrow at 10:00 suit you for a short call?</p>",
    "<p>You are welcome. Have a nice day!</p>",
)
BOT_TEXTS = (
    "<p>Welcome! What brings you here today?</p>",
    "<p>May I have your work e-mail, so that the team can follow up?</p>",
    "<p>Thanks, I am finding the right person for you… ⏳</p>",
    "<p>Nobody is online at the moment. Leave a message &amp; we will answer.</p>",
)
NOTE_TEXTS = (
    "<p>Asked for EU hosting, see the account plan.</p>",
    "<p>Same question as last week @Rosa</p>",
    "<p>✅ qualified</p>",
)
BULK_TEXTS = ("<p>New this month: reports you can share.</p>", "<p>Join our webinar on Thursday 📅</p>")
TAGS = (
    {"color": "FF5733", "name": "pricing"},
    {"color": "33C1FF", "name": "support"},
    {"color": "75B9BE", "name": "enterprise"},
    {"color": "F2C14E", "name": "Größere Firma 🏢"},
)
PLAYBOOK_NAMES = (
    "Welcome visitors", "Book a demo", "Pricing helper", "After hours", "Docs search", "Webinar sign-up",
    "Trial check-in", "Event follow-up", "Enterprise fast lane", "Renewal reminder",
)  # fmt: skip
REPORT_TYPES = ("BOOK_MORE_MEETINGS", "CAPTURE_MORE_EMAILS", "QUALIFY_LEADS", "SUPPORT")
TEAM_NAMES = ("Sales EMEA", "Sales Americas", "Support", "Customer success", "Partnerships", "Old team")
TIME_ZONES = ("America/New_York", "Europe/Stockholm", "Asia/Tokyo", "America/Sao_Paulo")
