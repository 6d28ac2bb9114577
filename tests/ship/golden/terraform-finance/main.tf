locals {
  environment = [
    {
      name  = "HOME"
      value = "/tmp"
    },
    {
      name  = "PILOTAGE_ENGINE_COMMAND"
      value = "python3"
    },
    {
      name  = "PILOTAGE_HEALTH_PATH"
      value = "/health/ready"
    },
    {
      name  = "PILOTAGE_HOME"
      value = "/models"
    },
    {
      name  = "PILOTAGE_PORT"
      value = "8000"
    },
    {
      name  = "PYTHONUNBUFFERED"
      value = "1"
    },
    {
      name  = "PILOTAGE_SPEC_YAML"
      value = file("${path.module}/spec.yaml")
    },
  ]

  secrets = [
    {
      name      = "PILOTAGE_KEYS"
      valueFrom = var.keys_secret_arn
    },
    {
      name      = "HF_TOKEN"
      valueFrom = "arn:aws:secretsmanager:us-east-1:123456789012:secret:hub-AbCdEf:HF_TOKEN::"
    },
  ]
}

module "service" {
  source  = "infrahouse/ecs/aws"
  version = "8.4.0"

  providers = {
    aws     = aws
    aws.dns = aws
  }

  service_name = "pilotage-finance"
  environment  = var.environment
  docker_image = var.docker_image

  tags = {
    team                  = "finance"
    "pilotage:deployment" = "finance"
    "pilotage:target"     = "terraform"
  }

  asg_subnets                   = var.asg_subnets
  load_balancer_subnets         = var.load_balancer_subnets
  alb_ingress_cidr_blocks       = ["198.51.100.0/24"]
  zone_id                       = var.zone_id
  dns_names                     = var.dns_names
  replication_region            = var.replication_region
  idle_timeout                  = 60
  load_balancing_algorithm_type = "least_outstanding_requests"
  healthcheck_path              = "/health/ready"
  asg_instance_type             = "g6e.12xlarge"
  asg_min_size                  = 2
  asg_max_size                  = 4
  asg_health_check_grace_period = 2040
  root_volume_size              = 964
  gpu_count                     = 4
  on_demand_base_capacity       = 1

  cloudinit_extra_commands = [
    "install -d -o 10001 -g 10001 -m 0750 /var/models",
    "echo ECS_CONTAINER_STOP_TIMEOUT=60s >> /etc/ecs/ecs.config",
    "echo ECS_ENABLE_SPOT_INSTANCE_DRAINING=true >> /etc/ecs/ecs.config",
  ]

  task_desired_count                        = 2
  task_min_count                            = 2
  task_max_count                            = 3
  container_cpu                             = 47104
  container_memory                          = 376832
  task_ipc_mode                             = "host"
  service_health_check_grace_period_seconds = 2040
  healthcheck_interval                      = 15
  healthcheck_timeout                       = 5
  container_healthcheck_command             = "/opt/pilotage/bin/python -m pilotage.ship.inside.check_health"
  deployment_minimum_healthy_percent        = 100
  deployment_maximum_percent                = 200
  gpu_autoscaling_target                    = 60
  container_port                            = 8000

  container_command = [
    "--host",
    "0.0.0.0",
    "--port",
    "8000",
    "--engine",
    "vllm",
    "--tensor-parallel",
    "4",
  ]

  task_environment_variables = local.environment
  task_secrets               = local.secrets

  task_local_volumes = {
    models = {
      host_path      = "/var/models"
      container_path = "/models"
    }
  }

  task_role_arn                     = var.task_role_arn
  execution_extra_policy            = var.execution_extra_policy
  dockerSecurityOptions             = ["no-new-privileges"]
  enable_deployment_circuit_breaker = true
  alarm_emails                      = var.alarm_emails
  enable_cloudwatch_logs            = true
  cloudwatch_log_group_retention    = 90
  enable_container_insights         = true
  sns_topic_arn                     = "arn:aws:sns:us-east-1:123456789012:on-call"
}
