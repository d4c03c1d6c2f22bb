from training.starter.cli import main

raise SystemExit(main())
